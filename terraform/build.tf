# Cloud Build has an account of its own: its default one may do much more.
resource "google_service_account" "build" {
  account_id   = "tally-build"
  display_name = "Builds Tally's image"

  depends_on = [google_project_service.api]
}

locals {
  # As in all accounts here: put together, not read, so that a plan shows who may do what before it is applied.
  build_account = "${google_service_account.build.account_id}@${var.project}.iam.gserviceaccount.com"
}

# Logs have no narrower place than the project.
resource "google_project_iam_member" "build_logs" {
  project = var.project
  role    = "roles/logging.logWriter"
  member  = "serviceAccount:${local.build_account}"
}

resource "google_artifact_registry_repository_iam_member" "build" {
  location   = google_artifact_registry_repository.tally.location
  repository = google_artifact_registry_repository.tally.repository_id
  role       = "roles/artifactregistry.writer"
  member     = "serviceAccount:${local.build_account}"
}

resource "google_storage_bucket" "build" {
  #checkov:skip=CKV_GCP_62:Sources for a build that live for days; Cloud Build logs who read them
  #checkov:skip=CKV_GCP_63:It logs nothing
  #checkov:skip=CKV_GCP_78:A source is uploaded once and never changed
  name     = "${var.project}-tally-build"
  location = var.region

  force_destroy               = true # nothing in it outlives its build
  public_access_prevention    = "enforced"
  uniform_bucket_level_access = true

  lifecycle_rule {
    condition { age = 7 } # long enough to build again what failed
    action { type = "Delete" }
  }
  soft_delete_policy {
    retention_duration_seconds = 0 # every source is in version control too
  }

  depends_on = [google_project_service.api]
}

resource "google_storage_bucket_iam_member" "build" {
  bucket = google_storage_bucket.build.name
  role   = "roles/storage.objectViewer"
  member = "serviceAccount:${local.build_account}"
}
