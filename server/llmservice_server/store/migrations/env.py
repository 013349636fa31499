"""What Alembic runs: on the connection that it is given, in the transaction that it is in."""

from alembic import context

from llmservice_server.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
context.run_migrations()
