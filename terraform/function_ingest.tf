# Takes events over HTTP and answers when they are durable in Pub/Sub.
module "ingest" {
  source = "./modules/service"

  function = "ingest"
  project  = var.project
  region   = var.region
  image    = var.serving_image
  bounds   = var.ingest
  timeout  = 60 # Pub/Sub has 30 seconds to confirm; then the client is told to come again
  ingress  = local.public_ingress
  public   = true
  network  = local.run_network

  environment = merge(local.database_environment.ingest, {
    TALLY_LOG_LEVEL          = var.log_level
    TALLY_RAW_RETENTION_DAYS = var.raw_retention_days
    TALLY_TOKEN_TTL_SECONDS  = var.token_ttl_seconds
    TALLY_TOPIC              = "projects/${var.project}/topics/${google_pubsub_topic.usage_events.name}"
  })

  depends_on = [google_project_service.api]
}

resource "google_pubsub_topic_iam_member" "ingest" {
  topic  = google_pubsub_topic.usage_events.name
  role   = "roles/pubsub.publisher"
  member = "serviceAccount:${module.ingest.account}"
}
