# Off by default. When on, query asks it and nothing else does: record and rollup keep the primary to themselves. Its
# answers are as far behind as replication is, mostly well under a second.
resource "google_sql_database_instance" "replica" {
  #checkov:skip=CKV_GCP_52:as in database.tf
  #checkov:skip=CKV_GCP_53:as in database.tf
  #checkov:skip=CKV_GCP_79:as in database.tf
  #checkov:skip=CKV_GCP_108:as in database.tf
  #checkov:skip=CKV_GCP_110:as in database.tf
  #checkov:skip=CKV2_GCP_13:as in database.tf
  count = var.replica == null ? 0 : 1

  name                 = "tally-replica"
  region               = var.region
  database_version     = var.database.version
  master_instance_name = google_sql_database_instance.tally.name

  # Nothing is lost with it.
  deletion_protection = false

  settings {
    tier              = var.replica.tier
    edition           = var.database.edition
    availability_type = "ZONAL"

    connector_enforcement = "REQUIRED"

    disk_type             = "PD_SSD"
    disk_autoresize       = true
    disk_autoresize_limit = var.database.disk_limit_gb

    ip_configuration {
      ipv4_enabled    = false
      private_network = google_compute_network.tally.id
      ssl_mode        = "TRUSTED_CLIENT_CERTIFICATE_REQUIRED"
    }

    insights_config {
      query_insights_enabled  = true
      query_string_length     = 2048
      record_application_tags = false
      record_client_address   = false
    }

    dynamic "database_flags" {
      # The primary keeps rows that a question here still reads, so that it is not stopped half way. A question has
      # seconds. max_connections may not be lower than the primary's.
      for_each = merge(local.database_flags, { hot_standby_feedback = "on" })
      content {
        name  = database_flags.key
        value = database_flags.value
      }
    }
  }

  lifecycle {
    ignore_changes = [settings[0].disk_size]

    precondition {
      condition     = local.connections.replica <= var.database.max_connections
      error_message = <<-TEXT
        query may open ${local.connections.replica} connections, but max_connections of the replica is
        ${var.database.max_connections}: raise database.max_connections or lower query.max_instances.
      TEXT
    }
  }
}

locals {
  # The instance that each account connects to.
  database_instance = {
    for account in keys(local.database_accounts) : account =>
    account == "query" && var.replica != null
    ? google_sql_database_instance.replica[0].name
    : google_sql_database_instance.tally.name
  }
}
