# Starts the rollup. Figures are exact between two runs as well: what is not folded yet is read from the events.
resource "google_service_account" "scheduler" {
  account_id   = "tally-scheduler"
  display_name = "Cloud Scheduler, starting the job rollup"

  depends_on = [google_project_service.api]
}

locals {
  scheduler_account = "${google_service_account.scheduler.account_id}@${var.project}.iam.gserviceaccount.com"

  rollup_job = "projects/${var.project}/locations/${var.region}/jobs/tally-rollup"
}

# On a job, run.invoker is the permission to start it as it is, without other arguments.
resource "google_cloud_run_v2_job_iam_member" "rollup" {
  count = var.serving_image == null ? 0 : 1

  name     = module.rollup.name
  location = var.region
  role     = "roles/run.invoker"
  member   = "serviceAccount:${local.scheduler_account}"
}

resource "google_cloud_scheduler_job" "rollup" {
  count = var.serving_image == null ? 0 : 1

  name        = "tally-rollup"
  description = "Folds new events into the figures"
  region      = var.region
  schedule    = var.rollup_schedule
  time_zone   = "Etc/UTC"

  # For the answer that the job is started, not for its end. There is no second attempt: the next run comes soon.
  attempt_deadline = "30s"

  http_target {
    http_method = "POST"
    uri         = "https://run.googleapis.com/v2/${local.rollup_job}:run"

    oauth_token {
      service_account_email = local.scheduler_account
      scope                 = "https://www.googleapis.com/auth/cloud-platform"
    }
  }

  depends_on = [google_cloud_run_v2_job_iam_member.rollup]
}
