"""tables of the loop"""

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('decision',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('decided_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('classifier', sa.Text(), nullable=False),
    sa.Column('subject', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('reasons', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('evidence', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('run', sa.Text(), server_default=sa.text("''"), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index(
        'decision_by_classifier', 'decision', ['classifier', 'decided_at'], unique=False
    )
    op.create_table('deployment',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('classifier', sa.Text(), nullable=False),
    sa.Column('version', sa.Text(), nullable=False),
    sa.Column('head_location', sa.Text(), nullable=False),
    sa.Column('head_digest', sa.Text(), nullable=False),
    sa.Column('embedder_id', sa.Text(), nullable=False),
    sa.Column('role', sa.Text(), nullable=False),
    sa.Column('share', sa.Double(), nullable=False),
    sa.Column('since', sa.DateTime(timezone=True), nullable=False),
    sa.Column('why', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('deployment_by_classifier', 'deployment', ['classifier', 'id'], unique=False)
    op.create_table('drift_report',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('reported_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('classifier', sa.Text(), nullable=False),
    sa.Column('version', sa.Text(), nullable=False),
    sa.Column('window_number', sa.Integer(), nullable=False),
    sa.Column('window_start', sa.DateTime(timezone=True), nullable=False),
    sa.Column('window_end', sa.DateTime(timezone=True), nullable=False),
    sa.Column('rows', sa.Integer(), nullable=False),
    sa.Column('statistics', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('alarms', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('verdict', sa.Text(), nullable=False),
    sa.Column('report', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index(
        'drift_report_window',
        'drift_report',
        ['classifier', 'version', 'window_number'],
        unique=True,
    )
    op.create_table('feedback',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('received_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('request_id', sa.Text(), nullable=False),
    sa.Column('classifier', sa.Text(), nullable=False),
    sa.Column('label', sa.Text(), nullable=False),
    sa.Column('author', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index(
        'feedback_by_classifier', 'feedback', ['classifier', 'received_at'], unique=False
    )
    op.create_index('feedback_by_request', 'feedback', ['request_id'], unique=False)
    op.create_table('inference',
    sa.Column('occurred_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('request_id', sa.Text(), nullable=False),
    sa.Column('version', sa.Text(), nullable=False),
    sa.Column('classifier', sa.Text(), nullable=False),
    sa.Column('role', sa.Text(), nullable=False),
    sa.Column('phrase', sa.Text(), nullable=False),
    sa.Column('cleaned', sa.Text(), nullable=False),
    sa.Column('label', sa.Text(), nullable=False),
    sa.Column('probability', sa.Double(), nullable=False),
    sa.Column('alternatives', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('embedder_id', sa.Text(), nullable=False),
    sa.Column('cached', sa.Boolean(), nullable=False),
    sa.Column('latency_ms', sa.Double(), nullable=False),
    sa.Column('region', sa.Text(), nullable=True),
    sa.Column('routing_key', sa.Text(), nullable=True),
    sa.Column('flags', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.PrimaryKeyConstraint('occurred_at', 'request_id', 'version')
    )
    op.create_index('inference_by_request', 'inference', ['request_id'], unique=False)
    op.create_index(
        'inference_by_version',
        'inference',
        ['classifier', 'version', 'occurred_at'],
        unique=False,
    )
    op.create_table('snapshot',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('as_of', sa.DateTime(timezone=True), nullable=False),
    sa.Column('dataset', sa.Text(), nullable=False),
    sa.Column('rows', sa.Integer(), nullable=False),
    sa.Column('logical_hash', sa.Text(), nullable=False),
    sa.Column('query_hash', sa.Text(), nullable=False),
    sa.Column('git_tag', sa.Text(), nullable=False),
    sa.Column('summary', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('snapshot_by_dataset', 'snapshot', ['dataset', 'as_of'], unique=False)


def downgrade() -> None:
    op.drop_index('snapshot_by_dataset', table_name='snapshot')
    op.drop_table('snapshot')
    op.drop_index('inference_by_version', table_name='inference')
    op.drop_index('inference_by_request', table_name='inference')
    op.drop_table('inference')
    op.drop_index('feedback_by_request', table_name='feedback')
    op.drop_index('feedback_by_classifier', table_name='feedback')
    op.drop_table('feedback')
    op.drop_index('drift_report_window', table_name='drift_report')
    op.drop_table('drift_report')
    op.drop_index('deployment_by_classifier', table_name='deployment')
    op.drop_table('deployment')
    op.drop_index('decision_by_classifier', table_name='decision')
    op.drop_table('decision')
