# Owns the tables, and so does the job rollup: only their owner can detach a partition without locking out everybody.
resource "google_service_account" "owner" {
  account_id   = "tally-owner"
  display_name = "Tally's jobs migrate and rollup"

  depends_on = [google_project_service.api]
}

locals {
  owner_account = "${google_service_account.owner.account_id}@${var.project}.iam.gserviceaccount.com"
  # The owner needs no grant.
  granted_users = { for account, user in local.database_users : account => user if account != "owner" }
}

# Brings the database to the migration that an image needs, before the services get that image. Started by a deploy.
resource "google_cloud_run_v2_job" "migrate" {
  count = var.image == null ? 0 : 1

  name                = "tally-migrate"
  location            = var.region
  deletion_protection = false # as in modules/service

  template {
    template {
      service_account       = local.owner_account
      execution_environment = "EXECUTION_ENVIRONMENT_GEN2"
      timeout               = "3600s"
      max_retries           = 0 # it is applied whole or not at all, and whoever deploys reads why

      vpc_access {
        egress = "PRIVATE_RANGES_ONLY"
        network_interfaces {
          network    = local.run_network.network
          subnetwork = local.run_network.subnetwork
        }
      }

      containers {
        image   = var.image
        command = ["python", "functions/migrate/main.py"]

        resources {
          limits = { cpu = "1", memory = "512Mi" }
        }

        dynamic "env" {
          for_each = merge(local.database_environment.owner, {
            TALLY_DATABASE_USERS     = jsonencode(local.granted_users)
            TALLY_LOG_LEVEL          = var.log_level
            TALLY_RAW_RETENTION_DAYS = var.raw_retention_days
          })
          content {
            name  = env.key
            value = env.value
          }
        }
      }
    }
  }

  lifecycle {
    ignore_changes = [client, client_version]
  }

  # Granting something to a user needs the user.
  depends_on = [google_sql_user.function]
}
