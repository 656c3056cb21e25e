resource "google_service_account" "admin" {
  account_id   = "tally-admin"
  display_name = "Tally's command, run by people"

  depends_on = [google_project_service.api]
}

locals {
  admin_account = "${google_service_account.admin.account_id}@${var.project}.iam.gserviceaccount.com"
}

# The command `tally` beside the database, for people: `gcloud run jobs execute tally-admin --args=…`. Its database user
# may read and change API tokens, and nothing else.
resource "google_cloud_run_v2_job" "admin" {
  count = var.serving_image == null ? 0 : 1

  name                = "tally-admin"
  location            = var.region
  deletion_protection = false # as in modules/service

  template {
    template {
      service_account       = local.admin_account
      execution_environment = "EXECUTION_ENVIRONMENT_GEN2"
      timeout               = "600s"
      max_retries           = 0 # what half worked is not done twice

      vpc_access {
        egress = "PRIVATE_RANGES_ONLY"
        network_interfaces {
          network    = local.run_network.network
          subnetwork = local.run_network.subnetwork
        }
      }

      containers {
        image   = var.serving_image
        command = ["tally"]
        args    = ["--help"] # without arguments of its own an execution does no more

        resources {
          limits = { cpu = "1", memory = "512Mi" }
        }

        dynamic "env" {
          for_each = local.database_environment.admin
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
