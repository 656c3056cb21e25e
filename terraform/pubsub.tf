# Events on their way. There is no Pub/Sub schema: a message may be one event, an array, lines, a CloudEvent or what
# LiteLLM sends, each of them compressed or not. record tells them apart, and keeps what it cannot read with the reason.
resource "google_pubsub_topic" "usage_events" {
  #checkov:skip=CKV_GCP_83:Google's own keys; events hold identifiers and figures, no content
  name = "usage-events"

  # So long a subscription can be set back to store events again; those that are stored already count once.
  message_retention_duration = "604800s" # 7 days

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }

  depends_on = [google_project_service.api]
}

resource "google_pubsub_subscription" "record" {
  name  = "usage-events-record"
  topic = google_pubsub_topic.usage_events.id

  # record answers within its timeout; a second delivery before that would only do the work twice.
  ack_deadline_seconds       = local.record_timeout + 10
  message_retention_duration = "604800s" # 7 days; what record refuses ten times is set aside before: dead_letter_policy

  expiration_policy { ttl = "" } # never, however long nobody sends

  # Until there is a record to push to, messages wait.
  dynamic "push_config" {
    for_each = var.serving_image == null ? [] : [module.record.uri]
    content {
      push_endpoint = "${push_config.value}/push"
      oidc_token {
        service_account_email = local.push_account
        audience              = push_config.value
      }
    }
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  # What record cannot read it keeps itself. What fails so often, for about forty minutes, meets a fault of record or of
  # the database; docs/runbook.md takes it back in.
  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead_letters.id
    max_delivery_attempts = 10
  }
}

resource "google_pubsub_topic" "dead_letters" {
  #checkov:skip=CKV_GCP_83:as above
  name = "usage-events-dead-letters"

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }

  depends_on = [google_project_service.api]
}

# For a person, or `tally replay`: nothing takes from it by itself.
resource "google_pubsub_subscription" "dead_letters" {
  name  = "usage-events-dead-letters"
  topic = google_pubsub_topic.dead_letters.id

  ack_deadline_seconds       = 60
  message_retention_duration = "2678400s" # 31 days, the longest that there is

  expiration_policy { ttl = "" }
}

# Who Pub/Sub is when it calls record.
resource "google_service_account" "push" {
  account_id   = "tally-push"
  display_name = "Pub/Sub, pushing events to record"

  depends_on = [google_project_service.api]
}

locals {
  push_account = "${google_service_account.push.account_id}@${var.project}.iam.gserviceaccount.com"
  # Pub/Sub itself.
  pubsub_agent = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

# A new project has no such account yet, and a grant to nobody fails.
resource "google_project_service_identity" "pubsub" {
  provider = google-beta

  service = "pubsub.googleapis.com"

  depends_on = [google_project_service.api]
}

# Dead letters are published and taken off the subscription by Pub/Sub, which says nothing where it may not.
resource "google_pubsub_topic_iam_member" "dead_letters" {
  topic  = google_pubsub_topic.dead_letters.name
  role   = "roles/pubsub.publisher"
  member = local.pubsub_agent

  depends_on = [google_project_service_identity.pubsub]
}

resource "google_pubsub_subscription_iam_member" "record" {
  subscription = google_pubsub_subscription.record.name
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent

  depends_on = [google_project_service_identity.pubsub]
}

# Signs the identity tokens that record's invoker check reads, and no access tokens.
resource "google_service_account_iam_member" "push_tokens" {
  service_account_id = "projects/${var.project}/serviceAccounts/${local.push_account}"
  role               = "roles/iam.serviceAccountOpenIdTokenCreator"
  member             = local.pubsub_agent

  depends_on = [google_project_service_identity.pubsub]
}
