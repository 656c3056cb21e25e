# Images of the functions, and the layers that the next build starts from.
resource "google_artifact_registry_repository" "tally" {
  #checkov:skip=CKV_GCP_84:Google's own keys; images hold no data
  repository_id = "tally"
  location      = var.region
  format        = "DOCKER"
  description   = "Images of Tally; a tag is a hash of what the image is made of"

  docker_config {
    immutable_tags = true # what a tag names was tested, and stays that
  }

  # What "keep" names is kept, whatever "delete" says.
  cleanup_policies {
    id     = "keep-images"
    action = "KEEP"
    most_recent_versions {
      package_name_prefixes = ["tally"]
      keep_count            = var.images_kept
    }
  }
  cleanup_policies {
    id     = "keep-newest-layers"
    action = "KEEP"
    most_recent_versions {
      package_name_prefixes = ["cache"]
      keep_count            = 2
    }
  }
  cleanup_policies {
    id     = "delete-others"
    action = "DELETE"
    condition {
      older_than = "1209600s" # 14 days: nothing that a deploy is still at
    }
  }

  depends_on = [google_project_service.api]
}
