"""Alembic's environment. `tally.migrate` hands over the connection, or none to print SQL."""

from alembic import context

connection = context.config.attributes.get("connection")
if connection is None:
    context.configure(dialect_name="postgresql", literal_binds=True)
else:
    context.configure(connection=connection)
with context.begin_transaction():
    # A migration that cannot get its lock gives up and is tried again, instead of queueing all traffic behind it.
    context.execute("SET LOCAL lock_timeout = '5s'")
    context.execute("SET LOCAL statement_timeout = '10min'")
    context.run_migrations()
