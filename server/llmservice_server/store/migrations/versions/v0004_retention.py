"""What else is known of a request, how long conversations are, and who deletes what is old."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_COLUMNS = (
    ("requests", "streaming", sa.Boolean(), sa.false()),
    ("requests", "replica", sa.String(255), sa.text("''")),
    ("conversations", "bytes", sa.BigInteger(), sa.text("0")),
    ("messages", "system", sa.Boolean(), sa.false()),
)


def upgrade() -> None:
    for table, name, kind, default in _COLUMNS:  # with which an older server adds rows
        column = sa.Column(name, kind, nullable=False, server_default=default)
        op.add_column(table, column)
    op.add_column("requests", sa.Column("answered_by", sa.String(16)))
    op.create_index("ix_requests_key_number", "requests", ["key", "number"])
    claims = op.create_table(
        "claims",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("holder", sa.String(32), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
    )
    op.bulk_insert(claims, [{"name": "retention", "holder": "", "until": 0}])


def downgrade() -> None:
    op.drop_table("claims")
    op.drop_index("ix_requests_key_number", "requests")
    op.drop_column("requests", "answered_by")
    for table, name, _, _ in reversed(_COLUMNS):
        op.drop_column(table, name)
