# What is there before an image is, and what the optional parts add.
mock_provider "google" {}
mock_provider "google-beta" {}

variables {
  project       = "example-project"
  region        = "europe-west1"
  image         = "europe-west1-docker.pkg.dev/example-project/tally/tally:new"
  serving_image = "europe-west1-docker.pkg.dev/example-project/tally/tally:old"
  domain        = null
  iap_members   = []
}

run "without_an_image_there_is_everything_but_what_runs_it" {
  command = plan

  variables {
    image         = null
    serving_image = null
    domain        = "usage.example.com"
  }
  assert {
    condition = (
      module.admin.uri == null && module.ingest.uri == null && module.record.uri == null && module.query.uri == null
      && module.migrate.name == null && module.rollup.name == null && module.command.name == null
      && length(google_cloud_scheduler_job.rollup) == 0
    )
    error_message = "Nothing can run without an image."
  }
  assert {
    condition     = length(google_sql_user.function) == 5
    error_message = "Accounts and database users come first, so that the first start finds them."
  }
  assert {
    condition     = length(google_pubsub_subscription.record.push_config) == 0
    error_message = "Messages wait until there is a record."
  }
}

run "the_first_migration_comes_before_the_services" {
  command = plan

  variables {
    serving_image = null
  }
  assert {
    condition     = module.migrate.name == "tally-migrate" && module.query.uri == null && module.rollup.name == null
    error_message = "Only migrate has an image then."
  }
}

run "optional_parts_are_off" {
  command = plan

  variables {
    replica = null
  }
  assert {
    condition = (
      length(google_compute_url_map.https) == 0
      && length(google_compute_backend_service.backend) == 0
      && length(google_compute_security_policy.public) == 0
      && length(google_memorystore_instance.cache) == 0
      && length(google_sql_database_instance.replica) == 0
      && length(google_bigquery_table.warehouse) == 0
      && length(google_pubsub_subscription.warehouse) == 0
    )
    error_message = "Nothing optional is made unasked."
  }
  assert {
    condition     = output.url == null
    error_message = "Without a domain there is no address but the services'."
  }
}

run "a_domain_brings_the_load_balancer" {
  command = plan

  variables {
    domain = "usage.example.com"
  }
  assert {
    condition     = toset(keys(google_compute_backend_service.backend)) == toset(["admin", "ingest", "pages", "query"])
    error_message = "record is behind no backend."
  }
  assert {
    condition     = alltrue([for backend in google_compute_backend_service.backend : length(backend.iap) == 0])
    error_message = "No sign-in unless asked for."
  }
  assert {
    condition = {
      for key, group in google_compute_region_network_endpoint_group.service : key => group.cloud_run[0].service
    } == { admin = "tally-admin", ingest = "tally-ingest", pages = "tally-query", query = "tally-query" }
    error_message = "query serves the pages as long as there is no dashboard."
  }
  assert {
    condition = (
      google_compute_url_map.http[0].default_url_redirect[0].https_redirect
      && google_compute_url_map.http[0].default_url_redirect[0].redirect_response_code == "PERMANENT_REDIRECT"
    )
    error_message = "HTTP only redirects."
  }
  assert {
    condition     = output.url == "https://usage.example.com"
    error_message = "The address is the domain's."
  }
  assert {
    condition = (
      length([for rule in google_compute_security_policy.public[0].rule : rule if rule.action == "deny(403)"]) == 5
      && alltrue([
        for rule in google_compute_security_policy.public[0].rule : rule.preview if rule.action == "deny(403)"
      ])
    )
    error_message = "An event may quote an attack."
  }
  assert {
    condition = [
      for rule in google_compute_security_policy.public[0].rule : rule.rate_limit_options[0].exceed_action
      if rule.action == "throttle"
    ] == ["deny(429)"]
    error_message = "A flood is refused from the start."
  }
  assert {
    condition = max([
      for rule in google_compute_security_policy.public[0].rule : rule.priority if rule.action == "deny(403)"
      ]...) < one([
      for rule in google_compute_security_policy.public[0].rule : rule.priority if rule.action == "throttle"
    ])
    error_message = "The first rule that matches ends the evaluation, and the limit matches everything."
  }
}

run "a_sign_in_stands_before_the_pages_only_and_known_attacks_can_be_refused" {
  command = plan

  variables {
    domain      = "usage.example.com"
    iap_members = ["group:team@example.com"]
    armor       = { enforce = true }
  }
  assert {
    condition = [
      for key, backend in google_compute_backend_service.backend : key if length(backend.iap) > 0
    ] == ["pages"]
    error_message = "API paths stay with API tokens."
  }
  assert {
    condition = [
      for grant in google_iap_web_backend_service_iam_member.pages :
      "${grant.member} ${grant.role} ${grant.web_backend_service}"
    ] == ["group:team@example.com roles/iap.httpsResourceAccessor tally-pages"]
    error_message = "Who is named gets in, there only."
  }
  assert {
    condition = alltrue([
      for rule in google_compute_security_policy.public[0].rule : rule.preview == false
      if rule.action == "deny(403)"
    ])
    error_message = "armor.enforce lets them refuse."
  }
}

run "everything_optional" {
  variables {
    domain    = "usage.example.com"
    replica   = { tier = "db-custom-2-8192" }
    cache     = {}
    warehouse = true
  }
  assert {
    condition = alltrue([
      for backend in google_compute_backend_service.backend :
      backend.security_policy == google_compute_security_policy.public[0].id
    ])
    error_message = "Cloud Armor stands before each backend."
  }
  assert {
    condition     = google_sql_database_instance.replica[0].master_instance_name == "tally"
    error_message = "It has to follow the primary."
  }
  assert {
    condition = (
      local.database_environment.query.TALLY_CLOUD_SQL_INSTANCE == "example-project:europe-west1:tally-replica"
      && local.database_environment.record.TALLY_CLOUD_SQL_INSTANCE == "example-project:europe-west1:tally"
    )
    error_message = "query asks the replica, all others the primary."
  }
  assert {
    condition = (
      strcontains(google_project_iam_member.database["query-client"].condition[0].expression, "/tally-replica\"")
      && strcontains(google_project_iam_member.database["record-client"].condition[0].expression, "/tally\"")
    )
    error_message = "Each account may connect to its own instance only."
  }
  assert {
    condition     = !google_sql_database_instance.replica[0].settings[0].ip_configuration[0].ipv4_enabled
    error_message = "The replica must have no public address either."
  }
  assert {
    condition = (
      google_memorystore_instance.cache[0].authorization_mode == "IAM_AUTH"
      && google_memorystore_instance.cache[0].transit_encryption_mode == "SERVER_AUTHENTICATION"
    )
    error_message = "TLS and IAM."
  }
  assert {
    condition = (
      [for column in jsondecode(google_bigquery_table.warehouse[0].schema) : "${column.name} ${column.type}"]
      == ["subscription_name STRING", "message_id STRING", "publish_time TIMESTAMP", "data BYTES", "attributes JSON"]
    )
    error_message = "These are the columns that Pub/Sub writes with metadata."
  }
  assert {
    condition = (
      google_pubsub_subscription.warehouse[0].bigquery_config[0].table == "example-project.tally.usage_events"
      && google_pubsub_subscription.warehouse[0].bigquery_config[0].write_metadata
    )
    error_message = "It has to write to the table, with metadata."
  }
  assert {
    condition = (
      google_pubsub_subscription.warehouse[0].dead_letter_policy[0].dead_letter_topic
      == google_pubsub_topic.warehouse_dead_letters[0].id
      && google_pubsub_subscription.warehouse_dead_letters[0].topic == google_pubsub_topic.warehouse_dead_letters[0].id
    )
    error_message = "Its dead letters are its own."
  }
  assert {
    condition     = google_bigquery_table_iam_member.warehouse[0].table_id == "usage_events"
    error_message = "Pub/Sub may write that table and no other."
  }
}
