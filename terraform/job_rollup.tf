# Folds new events into the figures, makes partitions ahead, drops those past the retention; notices crossed budgets and
# tells of them. Cloud Scheduler starts it. Webhooks are reached as Google's APIs are, past the network.
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
    TALLY_NOTIFICATION_TOPIC = "projects/${var.project}/topics/${google_pubsub_topic.usage_notifications.name}"
    TALLY_RAW_RETENTION_DAYS = var.raw_retention_days
  })

  depends_on = [google_project_service.api]
}
