locals {
  record_timeout = 60 # a statement has 30 seconds, and the batch before it may have as long
}

# Takes pushes of Pub/Sub and stores their events exactly once. Nobody else reaches it.
module "record" {
  source = "./modules/service"

  function = "record"
  project  = var.project
  region   = var.region
  image    = var.serving_image
  bounds   = var.record
  timeout  = local.record_timeout
  ingress  = "INGRESS_TRAFFIC_INTERNAL_ONLY" # Pub/Sub of the same project is inside
  invokers = ["serviceAccount:${local.push_account}"]
  network  = local.run_network

  environment = merge(local.database_environment.record, {
    TALLY_CHARACTERS_PER_TOKEN = jsonencode(var.characters_per_token)
    TALLY_LOG_LEVEL            = var.log_level
    TALLY_RAW_RETENTION_DAYS   = var.raw_retention_days
  })

  depends_on = [google_project_service.api]
}
