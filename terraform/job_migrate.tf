# Owns the tables, and so does the job rollup: only their owner can detach a partition without locking out everybody.
resource "google_service_account" "owner" {
  account_id   = "tally-owner"
  display_name = "Tally's jobs migrate and rollup"

  depends_on = [google_project_service.api]
}

locals {
  owner_account = "${google_service_account.owner.account_id}@${var.project}.iam.gserviceaccount.com"
  # The owner needs no grant.
  granted_users = { for account, user in local.database_users : account => user if account != "owner" }
}

# Brings the database to the migration that an image needs, before the services get that image. Started by a deploy.
module "migrate" {
  source = "./modules/job"

  name    = "migrate"
  region  = var.region
  image   = var.image
  account = local.owner_account
  command = ["python", "functions/migrate/main.py"]
  timeout = 3600
  network = local.run_network

  environment = merge(local.database_environment.owner, {
    TALLY_DATABASE_USERS     = jsonencode(local.granted_users)
    TALLY_LOG_LEVEL          = var.log_level
    TALLY_RAW_RETENTION_DAYS = var.raw_retention_days
  })

  # Granting something to a user needs the user.
  depends_on = [google_sql_user.function]
}
