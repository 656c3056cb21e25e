locals {
  # Who has a database user, by what it runs as. Jobs migrate and rollup own the tables: see docs/architecture.md. The
  # job command runs as admin.
  database_accounts = {
    admin  = module.admin.account
    ingest = module.ingest.account
    owner  = local.owner_account
    query  = module.query.account
    record = module.record.account
  }
  # Cloud SQL's name for the user of a service account.
  database_users = { for key, email in local.database_accounts : key => trimsuffix(email, ".gserviceaccount.com") }

  database_flags = {
    # Functions sign in as their service accounts. There is no password, here or anywhere.
    "cloudsql.iam_authentication" = "on"
    # The budget in connections.tf is counted against this, not against a default that changes with the tier.
    max_connections = var.database.max_connections
    # Folding waits for transactions that may still write: one whose client is gone must not hold it up for hours.
    idle_in_transaction_session_timeout = 60000
    # Where time goes when figures get slow: waiting for locks, sorting on disk, writing checkpoints.
    log_checkpoints = "on"
    log_lock_waits  = "on"
    log_temp_files  = 0
    # Migrations and partitions. Never more: other statements are many.
    log_statement           = "ddl"
    log_min_error_statement = "error"
    # Without the details of an error: they quote rows, which hold personal data.
    log_error_verbosity = "terse"
  }
}

resource "google_sql_database_instance" "tally" {
  #checkov:skip=CKV_GCP_52:Pools open and close connections all day; Cloud Audit Logs has who signed in
  #checkov:skip=CKV_GCP_53:as CKV_GCP_52
  #checkov:skip=CKV_GCP_79:Checkov does not follow a variable's default, POSTGRES_18
  #checkov:skip=CKV_GCP_108:Addresses of functions come and go, and have no names
  #checkov:skip=CKV_GCP_110:People have no database users; changes of the schema are logged by log_statement
  #checkov:skip=CKV2_GCP_13:A line a statement; query insights has durations without that
  name             = "tally"
  region           = var.region
  database_version = var.database.version

  # Of Terraform; the one in the settings is the API's, against gcloud and the console.
  deletion_protection = var.deletion_protection

  settings {
    tier              = var.database.tier
    edition           = var.database.edition
    availability_type = var.database.regional ? "REGIONAL" : "ZONAL"

    connector_enforcement       = "REQUIRED" # a connector brings TLS and IAM, always
    deletion_protection_enabled = var.deletion_protection

    disk_type             = "PD_SSD"
    disk_size             = var.database.disk_gb
    disk_autoresize       = true
    disk_autoresize_limit = var.database.disk_limit_gb # a runaway publisher costs this much at most

    ip_configuration {
      ipv4_enabled                                  = false
      private_network                               = google_compute_network.tally.id
      enable_private_path_for_google_cloud_services = false # BigQuery has a subscription of its own: warehouse.tf
      ssl_mode                                      = "TRUSTED_CLIENT_CERTIFICATE_REQUIRED"
    }

    backup_configuration {
      enabled                        = true
      start_time                     = "01:00" # UTC
      location                       = var.database.backup_location
      point_in_time_recovery_enabled = true
      transaction_log_retention_days = 7

      backup_retention_settings {
        retained_backups = var.database.retained_backups
      }
    }

    maintenance_window {
      day          = var.database.maintenance.day
      hour         = var.database.maintenance.hour
      update_track = "stable"
    }

    insights_config {
      query_insights_enabled  = true
      query_string_length     = 2048 # statements of figures are long; values are bound, so none are shown
      record_application_tags = false
      record_client_address   = false
    }

    dynamic "database_flags" {
      for_each = local.database_flags
      content {
        name  = database_flags.key
        value = database_flags.value
      }
    }
  }

  lifecycle {
    # Cloud SQL enlarges the disk by itself. A smaller size here would mean a new instance.
    ignore_changes = [settings[0].disk_size]

    precondition {
      condition     = local.connections.tally <= var.database.max_connections
      error_message = <<-TEXT
        Functions and jobs may open ${local.connections.tally} connections, but max_connections of the database is
        ${var.database.max_connections}: raise database.max_connections (each takes up to 10 MB of the tier's memory),
        or lower max_instances of ingest, record, query or admin.
      TEXT
    }
  }

  depends_on = [google_project_service.api, google_service_networking_connection.services]
}

resource "google_sql_database" "tally" {
  name     = "tally"
  instance = google_sql_database_instance.tally.name

  # Goes with the instance. PostgreSQL does not drop a database that somebody is connected to.
  deletion_policy = "ABANDON"
}

resource "google_sql_user" "function" {
  for_each = local.database_users

  name     = each.value
  instance = google_sql_database_instance.tally.name
  type     = "CLOUD_IAM_SERVICE_ACCOUNT"

  # May make extensions and the tables, which it then owns. Others get their grants from the job migrate.
  database_roles = each.key == "owner" ? ["cloudsqlsuperuser"] : null

  # PostgreSQL does not drop a role that owns or was granted something. It goes with the instance.
  deletion_policy = "ABANDON"

  # What runs as this user waits for it, and so for all that lets it in.
  depends_on = [google_project_iam_member.database]
}

# Cloud SQL has no policy of its own for an instance: the project's one, with a condition, is the narrowest.
# https://cloud.google.com/sql/docs/postgres/iam-conditions
resource "google_project_iam_member" "database" {
  for_each = {
    for pair in setproduct(keys(local.database_accounts), ["client", "instanceUser"]) :
    "${pair[0]}-${pair[1]}" => { account = pair[0], role = pair[1] }
  }

  project = var.project
  role    = "roles/cloudsql.${each.value.role}"
  member  = "serviceAccount:${local.database_accounts[each.value.account]}"

  condition {
    title      = "Tally's database only"
    expression = <<-CEL
      resource.type == "sqladmin.googleapis.com/Instance" &&
      resource.name == "projects/${var.project}/instances/${local.database_instance[each.value.account]}"
    CEL
  }
}
