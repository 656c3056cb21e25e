resource "google_service_account" "admin" {
  account_id   = "tally-admin"
  display_name = "Tally's command, run by people"

  depends_on = [google_project_service.api]
}

locals {
  admin_account = "${google_service_account.admin.account_id}@${var.project}.iam.gserviceaccount.com"
}

# The command `tally` beside the database, for people: `gcloud run jobs execute tally-admin --args=…`. Its database user
# may read and change API tokens, and nothing else.
module "admin" {
  source = "./modules/job"

  name        = "admin"
  region      = var.region
  image       = var.serving_image
  account     = local.admin_account
  command     = ["tally"]
  args        = ["--help"] # without arguments of its own an execution does no more
  timeout     = 600
  network     = local.run_network
  environment = local.database_environment.admin

  depends_on = [google_project_service.api]
}
