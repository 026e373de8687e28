"""Alembic's entry: runs the revisions on the URL that `core.database.migrate` hands over."""

import sqlalchemy as sa
from alembic import context

from core.tables import metadata

engine = sa.create_engine(context.config.attributes["url"], poolclass=sa.NullPool)
with engine.connect() as connection:
    connection.execute(sa.text("select pg_advisory_lock(5062)"))
    connection.commit()
    context.configure(connection=connection, target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()
