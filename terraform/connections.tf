# PostgreSQL refuses whoever comes when max_connections is reached, so what may come is counted here and refused in the
# plan instead: a precondition of the database.
locals {
  # Connections of one instance or one execution at most: pool_size of each `Store`. A test compares them with the code.
  pools = { admin = 5, command = 1, ingest = 5, migrate = 2, query = 10, record = 5, rollup = 2 }

  # Reserved for superusers, Cloud SQL's own agents, statements that query stops over a connection of its own, a person,
  # and the moment in which an old and a new revision serve.
  spare_connections = 12

  connections = {
    tally = sum([
      var.admin.max_instances * local.pools.admin,
      var.ingest.max_instances * local.pools.ingest,
      var.record.max_instances * local.pools.record,
      var.replica == null ? local.connections_of_query : 0,
      local.pools.rollup * 2, # a slow run and the next one
      local.pools.migrate,
      local.pools.command,
      local.spare_connections,
    ])
    replica = local.connections_of_query + local.spare_connections
  }
  connections_of_query = var.query.max_instances * local.pools.query
}
