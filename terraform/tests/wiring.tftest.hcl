# What has to hold with any variables: run it with each file of environments/ (README.md).
mock_provider "google" {
  mock_data "google_project" {
    defaults = { number = "123456789012" }
  }
}
mock_provider "google-beta" {}

variables {
  project       = "example-project"
  region        = "europe-west1"
  image         = "europe-west1-docker.pkg.dev/example-project/tally/tally:new"
  serving_image = "europe-west1-docker.pkg.dev/example-project/tally/tally:old"
}

run "as_applied" {
  assert {
    condition     = google_pubsub_subscription.record.push_config[0].push_endpoint == "${module.record.uri}/push"
    error_message = "Events have to be pushed to record's /push."
  }
  assert {
    condition     = google_pubsub_subscription.record.push_config[0].oidc_token[0].audience == module.record.uri
    error_message = "Cloud Run takes a token only if it was made for its own URL."
  }
  assert {
    condition = (
      google_pubsub_subscription.record.push_config[0].oidc_token[0].service_account_email
      == "tally-push@example-project.iam.gserviceaccount.com"
    )
    error_message = "Pub/Sub has to sign in as tally-push, which may call record."
  }
  assert {
    condition     = length(google_pubsub_subscription.record.push_config[0].no_wrapper) == 0
    error_message = "record reads the wrapped form."
  }
  assert {
    condition     = google_pubsub_subscription.record.ack_deadline_seconds > local.record_timeout
    error_message = "A push must not come again while record still works at it."
  }
  assert {
    condition = (
      google_pubsub_subscription.record.dead_letter_policy[0].dead_letter_topic == google_pubsub_topic.dead_letters.id
      && google_pubsub_subscription.record.dead_letter_policy[0].max_delivery_attempts == 10
    )
    error_message = "The dead-letter topic has to get what was refused 10 times."
  }
  assert {
    condition     = google_pubsub_subscription.dead_letters.topic == google_pubsub_topic.dead_letters.id
    error_message = "Without a subscription the dead-letter topic drops what it gets."
  }
  assert {
    condition     = length(google_pubsub_subscription.dead_letters.push_config) == 0
    error_message = "A person takes dead letters, nothing pushes them."
  }
  assert {
    condition = alltrue([
      for grant in [google_pubsub_topic_iam_member.dead_letters, google_pubsub_subscription_iam_member.record] :
      grant.member == "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"
    ])
    error_message = "Pub/Sub's own account moves dead letters."
  }
  assert {
    condition = (
      google_pubsub_topic_iam_member.dead_letters.role == "roles/pubsub.publisher"
      && google_pubsub_topic_iam_member.dead_letters.topic == google_pubsub_topic.dead_letters.name
      && google_pubsub_subscription_iam_member.record.role == "roles/pubsub.subscriber"
      && google_pubsub_subscription_iam_member.record.subscription == google_pubsub_subscription.record.name
    )
    error_message = "It has to publish to the one and take off the other, or nothing is ever moved."
  }
  assert {
    condition = alltrue([
      for subscription in [google_pubsub_subscription.record, google_pubsub_subscription.dead_letters] :
      subscription.expiration_policy[0].ttl == ""
    ])
    error_message = "A subscription that nobody used for a month would be deleted, with its messages."
  }
  assert {
    condition     = !google_sql_database_instance.tally.settings[0].ip_configuration[0].ipv4_enabled
    error_message = "The database must have no public address."
  }
  assert {
    condition     = google_sql_database_instance.tally.settings[0].connector_enforcement == "REQUIRED"
    error_message = "Only connectors may connect."
  }
  assert {
    condition = contains([
      for flag in google_sql_database_instance.tally.settings[0].database_flags : "${flag.name}=${flag.value}"
    ], "cloudsql.iam_authentication=on")
    error_message = "Functions sign in by IAM."
  }
  assert {
    condition = alltrue([
      for user in google_sql_user.function : user.type == "CLOUD_IAM_SERVICE_ACCOUNT" && user.password == null
    ])
    error_message = "No database user has a password."
  }
  assert {
    condition     = [for key, user in google_sql_user.function : key if user.database_roles != null] == ["owner"]
    error_message = "Only the owner has a role of the database; the others are granted what they need."
  }
  assert {
    condition = (
      google_sql_database_instance.tally.deletion_protection
      && google_sql_database_instance.tally.settings[0].deletion_protection_enabled
    )
    error_message = "Both protections have to be on unless a variable lifts them."
  }
  assert {
    condition = (
      google_sql_database_instance.tally.settings[0].backup_configuration[0].enabled
      && google_sql_database_instance.tally.settings[0].backup_configuration[0].point_in_time_recovery_enabled
    )
    error_message = "Backups and point-in-time recovery have to be on."
  }
  assert {
    condition     = module.migrate.image == var.image
    error_message = "migrate runs the new image."
  }
  assert {
    condition     = module.rollup.image == var.serving_image && module.command.image == var.serving_image
    error_message = "Whatever else uses the schema changes with the services."
  }
  assert {
    condition = (
      google_cloud_scheduler_job.rollup[0].http_target[0].uri
      == "https://run.googleapis.com/v2/projects/example-project/locations/europe-west1/jobs/tally-rollup:run"
    )
    error_message = "It has to call the run method of the job."
  }
  assert {
    condition = (
      google_cloud_scheduler_job.rollup[0].http_target[0].oauth_token[0].service_account_email
      == "tally-scheduler@example-project.iam.gserviceaccount.com"
      && google_cloud_run_v2_job_iam_member.rollup[0].member
      == "serviceAccount:tally-scheduler@example-project.iam.gserviceaccount.com"
      && google_cloud_run_v2_job_iam_member.rollup[0].name == module.rollup.name
    )
    error_message = "It has to sign in as the account that may run the job."
  }
  assert {
    condition     = google_cloud_scheduler_job.rollup[0].schedule == var.rollup_schedule
    error_message = "The schedule is a variable."
  }
}

run "protection_can_be_lifted" {
  command = plan

  variables {
    deletion_protection = false
  }
  assert {
    condition = (
      !google_sql_database_instance.tally.deletion_protection
      && !google_sql_database_instance.tally.settings[0].deletion_protection_enabled
    )
    error_message = "deletion_protection = false has to lift both."
  }
}
