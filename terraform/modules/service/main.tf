# One function as a Cloud Run service, with an account of its own.
resource "google_service_account" "this" {
  account_id   = "tally-${var.function}"
  display_name = "Tally's function ${var.function}"
}

resource "google_cloud_run_v2_service" "this" {
  count = var.image == null ? 0 : 1

  name     = "tally-${var.function}"
  location = var.region
  ingress  = var.ingress

  # Who is checked by an API token needs no grant to get here; organizations forbid one to allUsers by default.
  invoker_iam_disabled = var.public

  # Nothing is lost with it; and where its first revision never gets ready, it has to be replaced.
  deletion_protection = false

  # Of the service, not of a revision: an old and a new one together open no more connections than one.
  scaling {
    min_instance_count = var.bounds.min_instances
    max_instance_count = var.bounds.max_instances
  }

  template {
    service_account                  = local.account
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"
    max_instance_request_concurrency = var.bounds.concurrency
    timeout                          = "${var.timeout}s"

    vpc_access {
      egress = "PRIVATE_RANGES_ONLY" # to the database; Google's APIs are nearer without
      network_interfaces {
        network    = var.network.network
        subnetwork = var.network.subnetwork
      }
    }

    containers {
      image = var.image

      dynamic "env" {
        for_each = merge({ TALLY_FUNCTION = var.function }, var.environment)
        content {
          name  = env.key
          value = env.value
        }
      }

      resources {
        limits            = { cpu = var.bounds.cpu, memory = var.bounds.memory }
        cpu_idle          = true # all work is done while a request waits for it
        startup_cpu_boost = true # loading Python takes most of a cold start
      }

      # Asks the database: a revision whose schema is missing, or that cannot get in, takes no traffic. It may take more
      # than a minute until the network lets a new instance through.
      startup_probe {
        period_seconds    = 5
        timeout_seconds   = 5
        failure_threshold = 48 # four minutes, the longest that there is
        http_get { path = "/health/ready" }
      }

      # Does not: a slow database would have every instance restarted.
      liveness_probe {
        period_seconds    = 30
        timeout_seconds   = 5
        failure_threshold = 3
        http_get { path = "/health/live" }
      }
    }
  }

  lifecycle {
    # What gcloud and the console leave behind when somebody looks after a service with them.
    ignore_changes = [client, client_version]
  }
}

resource "google_cloud_run_v2_service_iam_member" "invoker" {
  for_each = var.image == null ? [] : var.invokers

  name     = google_cloud_run_v2_service.this[0].name
  location = var.region
  role     = "roles/run.invoker"
  member   = each.value
}

locals {
  account = "${google_service_account.this.account_id}@${var.project}.iam.gserviceaccount.com"
}
