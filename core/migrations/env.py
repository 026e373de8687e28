"""Alembic's entry point: runs the revisions on the URL that `core.database.migrate` passes."""

import sqlalchemy as sa
from alembic import context

from core.locks import AdvisoryLock
from core.tables.all import metadata

engine = sa.create_engine(context.config.attributes["url"], poolclass=sa.NullPool)
with engine.connect() as connection:
    connection.execute(sa.select(sa.func.pg_advisory_lock(AdvisoryLock.MIGRATE.value)))
    connection.commit()
    context.configure(connection=connection, target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()
