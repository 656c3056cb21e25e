# What the functions have in common. Each has a file of its own beside this one.
locals {
  # What everything that opens the database is told. A name that the code does not know, or does not read here, fails
  # the start or a test.
  database_environment = {
    for account, user in google_sql_user.function : account => {
      TALLY_CLOUD_SQL_INSTANCE = "${var.project}:${var.region}:${local.database_instance[account]}"
      TALLY_DATABASE_NAME      = google_sql_database.tally.name
      TALLY_DATABASE_USER      = user.name
    }
  }

  run_network = {
    network    = google_compute_network.tally.id
    subnetwork = google_compute_subnetwork.run.id
  }

  # With a domain the load balancer is the only way in, so that its rules cannot be passed by.
  public_ingress = var.domain == null ? "INGRESS_TRAFFIC_ALL" : "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
}
