# The database, and its replica where there is one.
locals {
  database_policies = {
    database_cpu = {
      on       = true
      title    = "Database: CPU"
      severity = "WARNING"
      query    = "max by (database_id) (${local.series.cpu}) > 0.9"
      lasts    = "900s"
      why      = "The database has worked at its limit for a quarter of an hour: answers get slow, then messages wait."
      first    = "which statements take the time? Query Insights. If it is the load itself: a larger tier."
    }

    database_memory = {
      on       = true
      title    = "Database: memory"
      severity = "WARNING"
      query    = "max by (database_id) (${local.series.memory}) > 0.9"
      lasts    = "900s"
      why      = "PostgreSQL is restarted when it runs out of memory: for a minute nothing is stored or answered."
      first    = "how many connections are there, and what do they do? If it is the load itself: a larger tier."
    }

    database_disk = {
      on       = true
      title    = "Database: disk"
      severity = "CRITICAL"
      # It grows by itself, but not above the limit.
      query = <<-PROMQL
        max by (database_id) (${local.series.disk}) > 0.9
        or max by (database_id) (${local.series.disk_bytes}) > ${floor(0.8 * var.database.disk_limit_gb * pow(1024, 3))}
      PROMQL
      lasts = "600s"
      why   = <<-TEXT
        The disk is nearly full, or near ${var.database.disk_limit_gb} GB, where it stops growing. A full database
        stores nothing and may stop.
      TEXT
      first = "raise `database.disk_limit_gb` and deploy; then ask what fills it."
    }

    database_connections = {
      on       = true
      title    = "Database: connections"
      severity = "WARNING"
      query = format(
        "sum by (database_id) (%s) > %v", local.series.connections, floor(0.85 * var.database.max_connections)
      )
      lasts = "300s"
      why   = "Of ${var.database.max_connections} connections few are left. Who comes then is refused, with 503."
      first = "who holds them? pg_stat_activity by user and application_name."
    }

    database_transaction_ids = {
      on       = true
      title    = "Database: transaction ids"
      severity = "CRITICAL"
      query    = "max by (database_id) (${local.series.transaction_ids}) > 0.5"
      lasts    = "1800s"
      why      = "Vacuum does not get through. When its transaction ids are used up, PostgreSQL accepts no more writes."
      first    = "what holds vacuum up? An old transaction, a replication slot, a prepared transaction."
    }

    replica_lag = {
      on       = var.replica != null
      title    = "Database: replica"
      severity = "WARNING"
      query    = format("max(%[1]s) > 60 or min(%[1]s) < 0", local.series.replica_lag)
      lasts    = "300s"
      why      = "The replica, and every answer of query with it, is more than a minute behind, or gets nothing."
      first    = "is it large enough? Does a long question hold up what comes in? `replica = null`: the primary."
    }
  }
}
