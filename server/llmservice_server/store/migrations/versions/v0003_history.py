"""What was asked: each request, and conversations."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_SECONDS: sa.Double[float] = sa.Double()


def upgrade() -> None:
    op.create_table(
        "requests",
        sa.Column("number", _NUMBER, sa.Identity(), primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("request_id", sa.String(255), nullable=False),
        sa.Column("user_name", sa.String(255), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("model", sa.String(255), nullable=False),
        sa.Column("route", sa.String(255), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(32)),
        sa.Column("input_tokens", sa.BigInteger()),
        sa.Column("output_tokens", sa.BigInteger()),
        sa.Column("first_token_seconds", _SECONDS),
        sa.Column("seconds", _SECONDS, nullable=False),
        sa.Column("asked", sa.Text()),
        sa.Column("answered", sa.Text()),
    )
    op.create_index("ix_requests_at", "requests", ["at"])
    op.create_index("ix_requests_request_id", "requests", ["request_id"])
    op.create_index("ix_requests_user_name_number", "requests", ["user_name", "number"])
    op.create_table(
        "conversations",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("owner", sa.String(263), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed", sa.DateTime(timezone=True), nullable=False),
        sa.Column("messages", sa.Integer(), nullable=False),
    )
    op.create_index("ix_conversations_changed", "conversations", ["changed"])
    op.create_index("ix_conversations_owner_changed", "conversations", ["owner", "changed"])
    op.create_table(
        "messages",
        sa.Column(
            "conversation",
            sa.String(64),
            sa.ForeignKey("conversations.id", name="messages_conversation", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    for table in ("messages", "conversations", "requests"):
        op.drop_table(table)
