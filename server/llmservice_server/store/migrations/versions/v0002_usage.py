"""What was used: by day, by month, and what replicas have reserved."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "usage",
        sa.Column("day", sa.Date(), primary_key=True),
        sa.Column("user_name", sa.String(255), primary_key=True),
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("model", sa.String(255), primary_key=True),
        *_sums("requests", "input_tokens", "output_tokens", "cost"),
    )
    op.create_table(
        "usage_month",
        sa.Column("user_name", sa.String(255), primary_key=True),
        sa.Column("month", sa.String(7), primary_key=True),
        *_sums("requests", "tokens"),
    )
    op.create_table(
        "reservations",
        sa.Column("replica", sa.String(32), primary_key=True),
        sa.Column("user_name", sa.String(255), primary_key=True),
        sa.Column("month", sa.String(7), primary_key=True),
        *_sums("requests", "tokens"),
    )
    op.create_table(
        "replicas",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("beat", sa.BigInteger(), nullable=False),
        sa.Column("batch", sa.BigInteger(), nullable=False),
        sa.Column("charged", sa.Boolean(), nullable=False),
    )


def _sums(*names: str) -> tuple[sa.Column[int], ...]:
    return tuple(sa.Column(name, sa.BigInteger(), nullable=False) for name in names)


def downgrade() -> None:
    for table in ("replicas", "reservations", "usage_month", "usage"):
        op.drop_table(table)
