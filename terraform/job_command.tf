# The command `tally` beside the database, for people: `gcloud run jobs execute tally-command --args=…`. It makes the
# first API token, without which nobody can ask admin. It runs as admin's account: both manage the same tables.
module "command" {
  source = "./modules/job"

  name        = "command"
  region      = var.region
  image       = var.serving_image
  account     = module.admin.account
  command     = ["tally"]
  args        = ["--help"] # without arguments of its own an execution does no more
  timeout     = 600
  network     = local.run_network
  environment = local.database_environment.admin

  depends_on = [google_project_service.api]
}
