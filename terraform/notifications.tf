# Where crossed budgets are published, besides the log and webhooks. Whoever wants to act on them makes a subscription;
# what is published while there is none is gone.
resource "google_pubsub_topic" "usage_notifications" {
  #checkov:skip=CKV_GCP_83:Google's own keys; names of budgets and figures, no content
  name = "usage-notifications"

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }

  depends_on = [google_project_service.api]
}

resource "google_pubsub_topic_iam_member" "rollup" {
  topic  = google_pubsub_topic.usage_notifications.name
  role   = "roles/pubsub.publisher"
  member = "serviceAccount:${local.owner_account}"
}
