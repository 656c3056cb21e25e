# Folds new events into the figures, makes partitions ahead, drops those past the retention. Cloud Scheduler starts it.
#
# It runs the image that the services run: the new one would refuse the old schema until the migration is through, or
# for good where that fails, while events come in.
module "rollup" {
  source = "./modules/job"

  name    = "rollup"
  region  = var.region
  image   = var.serving_image
  account = local.owner_account
  command = ["python", "functions/rollup/main.py"]
  timeout = 3600 # catching up after a long outage; meanwhile other runs find it busy and end
  network = local.run_network

  environment = merge(local.database_environment.owner, {
    TALLY_LOG_LEVEL          = var.log_level
    TALLY_RAW_RETENTION_DAYS = var.raw_retention_days
  })

  depends_on = [google_project_service.api]
}
