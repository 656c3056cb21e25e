# Answers questions about usage.
module "query" {
  source = "./modules/service"

  function = "query"
  project  = var.project
  region   = var.region
  image    = var.serving_image
  bounds   = var.query
  timeout  = 60 # a question has TALLY_QUERY_TIMEOUT_SECONDS; the rest is for long answers over slow lines
  ingress  = local.public_ingress
  public   = true
  network  = local.run_network

  environment = merge(local.database_environment.query, {
    TALLY_LOG_LEVEL             = var.log_level
    TALLY_QUERY_TIMEOUT_SECONDS = var.query_timeout_seconds
    TALLY_TOKEN_TTL_SECONDS     = var.token_ttl_seconds
  })

  depends_on = [google_project_service.api]
}
