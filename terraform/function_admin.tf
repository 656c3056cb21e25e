# Manages prices, exchange rates and budgets, for whoever has a token with scope admin.
module "admin" {
  source = "./modules/service"

  function = "admin"
  project  = var.project
  region   = var.region
  image    = var.serving_image
  bounds   = var.admin
  timeout  = 300 # pricing events again goes through many of them
  ingress  = local.public_ingress
  public   = true
  network  = local.run_network

  environment = merge(local.database_environment.admin, {
    TALLY_LOG_LEVEL         = var.log_level
    TALLY_TOKEN_TTL_SECONDS = var.token_ttl_seconds
  })

  depends_on = [google_project_service.api]
}
