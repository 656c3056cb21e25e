# Folds new events into the figures, makes partitions ahead, drops those past the retention. Cloud Scheduler starts it.
#
# It runs the image that the services run: the new one would refuse the old schema until the migration is through, or
# for good where that fails, while events come in.
resource "google_cloud_run_v2_job" "rollup" {
  count = var.serving_image == null ? 0 : 1

  name                = "tally-rollup"
  location            = var.region
  deletion_protection = false # as in modules/service

  template {
    template {
      service_account       = local.owner_account
      execution_environment = "EXECUTION_ENVIRONMENT_GEN2"
      # Catching up after a long outage takes that; meanwhile other runs find it busy and end.
      timeout     = "3600s"
      max_retries = 0 # the next run does what this one could not

      vpc_access {
        egress = "PRIVATE_RANGES_ONLY"
        network_interfaces {
          network    = local.run_network.network
          subnetwork = local.run_network.subnetwork
        }
      }

      containers {
        image   = var.serving_image
        command = ["python", "functions/rollup/main.py"]

        resources {
          limits = { cpu = "1", memory = "512Mi" } # PostgreSQL does the work
        }

        dynamic "env" {
          for_each = merge(local.database_environment.owner, {
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
}
