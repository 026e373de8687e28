"""inference by month"""

from alembic import op

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None

OLD = ('inference_pkey', 'inference_by_request', 'inference_by_version')


def upgrade() -> None:
    """Make the previous table the default partition.

    `core.partitions` moves its rows into months.
    """
    op.execute('alter table inference rename to inference_other')
    for index in OLD:
        op.execute(f'alter index {index} rename to {index.replace("inference", "inference_other")}')
    op.execute(
        'create table inference (like inference_other including defaults including constraints)'
        ' partition by range (occurred_at)'
    )
    op.execute(
        'alter table inference add constraint inference_pkey'
        ' primary key (occurred_at, request_id, version)'
    )
    op.execute('create index inference_by_request on inference (request_id)')
    op.execute('create index inference_by_version on inference (classifier, version, occurred_at)')
    op.execute('alter table inference attach partition inference_other default')


def downgrade() -> None:
    op.execute(
        'create table inference_whole'
        ' (like inference including defaults including constraints)'
    )
    op.execute('insert into inference_whole select * from inference')
    op.execute('drop table inference')
    op.execute('alter table inference_whole rename to inference')
    op.execute(
        'alter table inference add constraint inference_pkey'
        ' primary key (occurred_at, request_id, version)'
    )
    op.execute('create index inference_by_request on inference (request_id)')
    op.execute('create index inference_by_version on inference (classifier, version, occurred_at)')
