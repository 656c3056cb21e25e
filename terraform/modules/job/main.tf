# A program as a Cloud Run job, which runs once when it is started. Its account is its own or another job's.
resource "google_cloud_run_v2_job" "this" {
  count = var.image == null ? 0 : 1

  name                = "tally-${var.name}"
  location            = var.region
  deletion_protection = false # nothing is lost with it

  template {
    template {
      service_account       = var.account
      execution_environment = "EXECUTION_ENVIRONMENT_GEN2"
      timeout               = "${var.timeout}s"
      max_retries           = 0 # what fails says why to whoever started it, or is done by the next run

      vpc_access {
        egress = "PRIVATE_RANGES_ONLY"
        network_interfaces {
          network    = var.network.network
          subnetwork = var.network.subnetwork
        }
      }

      containers {
        image   = var.image
        command = var.command
        args    = var.args

        resources {
          limits = { cpu = "1", memory = "512Mi" } # PostgreSQL does the work
        }

        dynamic "env" {
          for_each = var.environment
          content {
            name  = env.key
            value = env.value
          }
        }
      }
    }
  }

  lifecycle {
    # What gcloud and the console leave behind when somebody looks after a job with them.
    ignore_changes = [client, client_version]
  }
}
