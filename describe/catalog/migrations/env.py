"""Alembic's entry: runs the revisions on the connection that `describe.catalog.database` hands over."""

from alembic import context

from describe.catalog.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
context.run_migrations()
