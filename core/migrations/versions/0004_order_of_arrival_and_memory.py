"""order of arrival and memory"""

import sqlalchemy as sa
from alembic import op

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Order the rows that are already logged by the clock of their clients."""
    op.execute('create sequence inference_sequence')
    op.add_column('inference', sa.Column('sequence', sa.BigInteger()))
    op.execute('''
        update inference set sequence = placed.place
        from (
            select occurred_at, request_id, version,
                   row_number() over (order by occurred_at, request_id, version) as place
            from inference
        ) as placed
        where inference.occurred_at = placed.occurred_at
          and inference.request_id = placed.request_id
          and inference.version = placed.version
    ''')
    op.execute('''
        select setval(
            'inference_sequence',
            (select coalesce(max(sequence), 0) + 1 from inference),
            false
        )
    ''')
    op.execute('''
        alter table inference alter column sequence set default nextval('inference_sequence')
    ''')
    op.execute('alter table inference alter column sequence set not null')
    op.execute('''
        create function number_inference() returns trigger language plpgsql as
        $$ begin new.sequence := nextval('inference_sequence'); return new; end $$
    ''')  # an earlier bento inserts whole rows, with null for columns that it does not know
    op.execute('''
        create trigger number_inference before insert on inference
        for each row when (new.sequence is null) execute function number_inference()
    ''')
    op.create_index('inference_by_sequence', 'inference', ['classifier', 'sequence'])
    op.add_column('inference', sa.Column('revision', sa.Integer()))
    op.add_column('inference', sa.Column('head_label', sa.Text()))
    op.add_column(
        'feedback', sa.Column('kind', sa.Text(), nullable=False, server_default='unknown')
    )
    op.add_column('feedback', sa.Column('probability', sa.Double()))
    op.create_table(
        'memory_revision',
        sa.Column('id', sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column('classifier', sa.Text(), nullable=False),
        sa.Column('revision', sa.Integer(), nullable=False),
        sa.Column('made_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('as_of', sa.DateTime(timezone=True), nullable=False),
        sa.Column('digest', sa.Text(), nullable=False),
        sa.Column('location', sa.Text(), nullable=False),
        sa.Column('snapshot', sa.Text(), nullable=False),
        sa.Column('first_feedback', sa.BigInteger()),
        sa.Column('last_feedback', sa.BigInteger()),
        sa.Column('phrases', sa.Integer(), nullable=False),
        sa.Column('labels', sa.Integer(), nullable=False),
        sa.Column('enabled', sa.Boolean(), nullable=False),
        sa.Column('why', sa.Text(), nullable=False),
        sa.UniqueConstraint('classifier', 'revision', name='memory_revision_number'),
    )


def downgrade() -> None:
    op.drop_table('memory_revision')
    op.drop_column('feedback', 'probability')
    op.drop_column('feedback', 'kind')
    op.drop_column('inference', 'head_label')
    op.drop_column('inference', 'revision')
    op.execute('drop trigger number_inference on inference')
    op.execute('drop function number_inference')
    op.drop_index('inference_by_sequence', 'inference')
    op.drop_column('inference', 'sequence')
    op.execute('drop sequence inference_sequence')
