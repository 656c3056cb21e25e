# BigQuery, off by default: every message as it was published, for questions past what PostgreSQL keeps. Pub/Sub writes
# it itself, beside record. A message may come twice; `message_id` tells, and `source` and `id` of an event do.
resource "google_bigquery_dataset" "warehouse" {
  #checkov:skip=CKV_GCP_15:No access is given here; without it a dataset is the project's only
  #checkov:skip=CKV_GCP_81:Google's own keys, as for the database
  count = var.warehouse ? 1 : 0

  dataset_id  = "tally"
  location    = var.region
  description = "Usage events as published"

  depends_on = [google_project_service.api]
}

resource "google_bigquery_table" "warehouse" {
  #checkov:skip=CKV_GCP_80:Google's own keys, as for the database
  count = var.warehouse ? 1 : 0

  dataset_id          = google_bigquery_dataset.warehouse[0].dataset_id
  table_id            = "usage_events"
  description         = "One row a message of the topic usage-events"
  deletion_protection = var.deletion_protection

  time_partitioning {
    type  = "DAY"
    field = "publish_time"
  }
  require_partition_filter = true # a question without a time would read, and cost, all of it

  # What a BigQuery subscription without a schema writes, with its metadata. Bytes, since a message may be compressed.
  schema = jsonencode([
    { name = "subscription_name", type = "STRING", mode = "NULLABLE" },
    { name = "message_id", type = "STRING", mode = "NULLABLE" },
    { name = "publish_time", type = "TIMESTAMP", mode = "NULLABLE" },
    { name = "data", type = "BYTES", mode = "NULLABLE" },
    { name = "attributes", type = "JSON", mode = "NULLABLE" },
  ])
}

locals {
  warehouse_table = one(google_bigquery_table.warehouse)
}

# Of the one table. Pub/Sub writes as itself.
resource "google_bigquery_table_iam_member" "warehouse" {
  count = var.warehouse ? 1 : 0

  dataset_id = local.warehouse_table.dataset_id
  table_id   = local.warehouse_table.table_id
  role       = "roles/bigquery.dataEditor"
  member     = local.pubsub_agent

  depends_on = [google_project_service_identity.pubsub]
}

resource "google_pubsub_subscription" "warehouse" {
  count = var.warehouse ? 1 : 0

  name  = "usage-events-warehouse"
  topic = google_pubsub_topic.usage_events.id

  message_retention_duration = "604800s"

  expiration_policy { ttl = "" }

  bigquery_config {
    table          = join(".", [var.project, local.warehouse_table.dataset_id, local.warehouse_table.table_id])
    write_metadata = true
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  # Not those of record: what the warehouse missed is stored.
  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.warehouse_dead_letters[0].id
    max_delivery_attempts = 10
  }

  depends_on = [google_bigquery_table_iam_member.warehouse]
}

resource "google_pubsub_topic" "warehouse_dead_letters" {
  #checkov:skip=CKV_GCP_83:as in pubsub.tf
  count = var.warehouse ? 1 : 0

  name = "usage-events-warehouse-dead-letters"

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }

  depends_on = [google_project_service.api]
}

resource "google_pubsub_subscription" "warehouse_dead_letters" {
  count = var.warehouse ? 1 : 0

  name  = "usage-events-warehouse-dead-letters"
  topic = google_pubsub_topic.warehouse_dead_letters[0].id

  message_retention_duration = "2678400s"

  expiration_policy { ttl = "" }
}

resource "google_pubsub_topic_iam_member" "warehouse_dead_letters" {
  count = var.warehouse ? 1 : 0

  topic  = google_pubsub_topic.warehouse_dead_letters[0].name
  role   = "roles/pubsub.publisher"
  member = local.pubsub_agent

  depends_on = [google_project_service_identity.pubsub]
}

resource "google_pubsub_subscription_iam_member" "warehouse" {
  count = var.warehouse ? 1 : 0

  subscription = google_pubsub_subscription.warehouse[0].name
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent

  depends_on = [google_project_service_identity.pubsub]
}
