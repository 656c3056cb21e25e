locals {
  apis = concat(
    [
      "artifactregistry",
      "cloudbuild",
      "cloudresourcemanager",
      "cloudscheduler",
      "compute",
      "containeranalysis", # where Cloud Build keeps what it signs of an image's origin
      "iam",
      "logging",
      "monitoring",
      "pubsub",
      "run",
      "servicenetworking",
      "sqladmin",
      "storage",
    ],
    length(var.iap_members) > 0 ? ["iap"] : [],
    var.cache == null ? [] : ["memorystore", "networkconnectivity"],
    var.warehouse ? ["bigquery"] : [],
  )
}

data "google_project" "this" {
  project_id = var.project
}

resource "google_project_service" "api" {
  for_each = toset(local.apis)

  service = "${each.value}.googleapis.com"

  # Others in the project may use it as well.
  disable_on_destroy = false
}
