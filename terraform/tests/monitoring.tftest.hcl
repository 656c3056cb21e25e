# What is watched, who is told, and what can be switched off. No cloud is called: every resource is made up.
mock_provider "google" {
  mock_resource "google_monitoring_notification_channel" {
    defaults = { name = "projects/example-project/notificationChannels/1" }
  }
  mock_resource "google_monitoring_uptime_check_config" {
    defaults = { uptime_check_id = "tally-check" }
  }
  mock_resource "google_cloud_run_v2_service" {
    defaults = { uri = "https://tally-made-up.a.run.app" }
  }
  mock_data "google_project" {
    defaults = { number = "123456789" }
  }
}
mock_provider "google-beta" {}

variables {
  project       = "example-project"
  region        = "europe-west1"
  image         = "europe-west1-docker.pkg.dev/example-project/tally/tally:new"
  serving_image = "europe-west1-docker.pkg.dev/example-project/tally/tally:new"
  alert_emails  = ["ann@example.com"]

  notification_channels = ["projects/example-project/notificationChannels/2"]

  database = { tier = "db-g1-small", regional = false, disk_limit_gb = 50, max_connections = 70, retained_backups = 7 }
  ingest   = { max_instances = 2 }
  query    = { max_instances = 2 }
  record   = { max_instances = 2 }
}

run "everybody_is_told_of_everything" {
  assert {
    condition = alltrue([
      for policy in google_monitoring_alert_policy.policy : policy.notification_channels == tolist([
        "projects/example-project/notificationChannels/1", "projects/example-project/notificationChannels/2"
      ])
    ])
    error_message = "Each alert goes to the address and to the further channel."
  }
  assert {
    condition = [
      for one in google_monitoring_notification_channel.email : one.labels
    ] == [tomap({ email_address = "ann@example.com" })]
    error_message = "The address has a channel."
  }
}

run "each_alert_says_what_to_do" {
  command = plan

  assert {
    condition = alltrue([
      for key, policy in google_monitoring_alert_policy.policy :
      contains(["CRITICAL", "ERROR", "WARNING"], policy.severity) &&
      policy.user_labels == tomap({ app = "tally", policy = key }) &&
      policy.alert_strategy[0].auto_close != null &&
      strcontains(policy.documentation[0].content, "**First:** ") &&
      endswith(policy.documentation[0].content, "section \"${trimprefix(policy.display_name, "Tally: ")}\".\n")
    ])
    error_message = "Each alert has a severity, labels, an end, first steps and a section of the runbook."
  }
}

run "what_is_on_by_default" {
  command = plan

  assert {
    condition = tolist(keys(google_monitoring_alert_policy.policy)) == tolist([
      "budgets_untold", "completeness", "database_connections", "database_cpu", "database_disk", "database_memory",
      "database_transaction_ids", "dead_letters_in_database", "dead_letters_in_pubsub", "errors", "job_failures",
      "latency", "oldest_message", "pushes_refused", "rollup_stalled", "unexpected_errors", "uptime",
    ])
    error_message = "no_events and budget_crossed have to be asked for; a certificate needs a domain, lag a replica."
  }
  assert {
    condition     = length(google_billing_budget.tally) == 0
    error_message = "There is no budget without a billing account."
  }
}

run "queries_name_what_they_watch" {
  assert {
    condition = alltrue([
      for policy in google_monitoring_alert_policy.policy : strcontains(
        policy.conditions[0].condition_prometheus_query_language[0].query, "project_id='example-project'"
      )
    ])
    error_message = "A scope of several projects must not mix them up."
  }
  assert {
    condition     = strcontains(local.policies.oldest_message.query, "subscription_id='usage-events-record'}) > 900")
    error_message = "15 minutes are 900 seconds."
  }
  assert {
    condition     = endswith(local.policies.database_connections.query, "> 59")
    error_message = "85 % of 70 connections are 59."
  }
  assert {
    condition     = strcontains(local.policies.database_disk.query, "> 42949672960")
    error_message = "80 % of 50 GB are 42949672960 bytes."
  }
  assert {
    condition = (
      strcontains(local.policies.rollup_stalled.query, "result!='failed'}[30m]") &&
      local.policies.rollup_stalled.lasts == "1800s"
    )
    error_message = "An hour is half looked back, half waited."
  }
  assert {
    condition     = strcontains(local.policies.latency.query, "service_name='tally-query'}[5m]))) > 5000 or")
    error_message = "5 seconds of query are 5000 ms."
  }
  assert {
    condition     = strcontains(local.policies.uptime.query, "check_id=~'tally-check|tally-check|tally-check'")
    error_message = "Every check is watched."
  }
}

run "the_dashboard_shows_the_same_measures" {
  assert {
    condition = alltrue([
      for name in setsubtract(
        keys(local.measures), ["certificate_days", "disk", "job_failures", "pushes", "replica_lag", "rollups",
        "transaction_ids", "uptime"]
      ) : strcontains(google_monitoring_dashboard.tally.dashboard_json, local.series[name])
    ])
    error_message = "Each measure that has a course is drawn."
  }
  assert {
    condition = length(distinct([
      for tile in jsondecode(google_monitoring_dashboard.tally.dashboard_json).mosaicLayout.tiles :
      "${tile.xPos} ${tile.yPos}" if tile.xPos + tile.width <= 48
    ])) == length(local.charts)
    error_message = "Tiles stand side by side, within the page."
  }
}

run "ready_is_asked_of_all_that_clients_reach" {
  assert {
    condition = { for key, check in google_monitoring_uptime_check_config.service : key => [
      check.monitored_resource[0].labels.host, check.http_check[0].request_method, check.http_check[0].path,
      check.http_check[0].accepted_response_status_codes[0].status_value
      ] } == {
      admin  = ["tally-made-up.a.run.app", "GET", "/health/ready", 200]
      ingest = ["tally-made-up.a.run.app", "GET", "/health/ready", 200]
      query  = ["tally-made-up.a.run.app", "GET", "/health/ready", 200]
    }
    error_message = "Each is asked at its own URL."
  }
}

run "behind_a_domain_each_is_asked_through_it" {
  variables {
    domain = "usage.example.com"
  }

  assert {
    condition = { for key, check in google_monitoring_uptime_check_config.service : key => [
      check.monitored_resource[0].labels.host, check.http_check[0].request_method, check.http_check[0].path,
      check.http_check[0].accepted_response_status_codes[0].status_value
      ] } == {
      admin  = ["usage.example.com", "GET", "/v1/audit-log", 401]
      ingest = ["usage.example.com", "POST", "/v1/events", 401]
      query  = ["usage.example.com", "GET", "/health/ready", 200]
    }
    error_message = "The load balancer gives /health to query, so the others are asked what they refuse."
  }
  assert {
    condition     = contains(keys(google_monitoring_alert_policy.policy), "certificate")
    error_message = "The domain's certificate is watched."
  }
}

run "all_that_can_be_off_is_off" {
  command = plan

  variables {
    alert_emails          = []
    domain                = "usage.example.com"
    notification_channels = []
    rollup_minutes        = null
    uptime_checks         = false
  }

  assert {
    condition = length(setintersection(
      keys(google_monitoring_alert_policy.policy), ["certificate", "no_events", "rollup_stalled", "uptime"]
    )) == 0
    error_message = "Each switch takes its alerts away."
  }
  assert {
    condition     = length(google_monitoring_uptime_check_config.service) == 0
    error_message = "Nobody asks from outside."
  }
}

run "before_there_are_services_nothing_waits_for_them" {
  command = plan

  variables {
    image             = null
    serving_image     = null
    no_events_minutes = 60
  }

  assert {
    condition = length(setintersection(
      keys(google_monitoring_alert_policy.policy), ["no_events", "rollup_stalled", "uptime"]
    )) == 0
    error_message = "The first deploy alerts nobody."
  }
}

run "crossed_budgets_when_asked_for" {
  command = plan

  variables {
    budget_alerts = true
  }

  assert {
    condition     = contains(keys(google_monitoring_alert_policy.policy), "budget_crossed")
    error_message = "Who wants to be told as of a fault is."
  }
}

run "no_events_when_asked_for" {
  command = plan

  variables {
    no_events_minutes = 60
  }

  assert {
    condition     = strcontains(local.policies.no_events.query, "topic_id='usage-events'}[60m])) or vector(0)) < 0.5")
    error_message = "An hour is looked back."
  }
}

run "a_budget_with_a_billing_account" {
  variables {
    billing_account = "012345-6789AB-CDEF01"
    budget          = { amount = 250, currency = "EUR" }
  }

  assert {
    condition = (
      google_billing_budget.tally[0].amount[0].specified_amount[0].units == "250" &&
      google_billing_budget.tally[0].amount[0].specified_amount[0].currency_code == "EUR"
    )
    error_message = "The amount is what was given."
  }
  assert {
    condition     = google_billing_budget.tally[0].budget_filter[0].projects == toset(["projects/123456789"])
    error_message = "This project alone counts."
  }
  assert {
    condition = [
      for rule in google_billing_budget.tally[0].threshold_rules : "${rule.spend_basis} ${rule.threshold_percent}"
    ] == ["CURRENT_SPEND 0.5", "CURRENT_SPEND 0.8", "CURRENT_SPEND 1", "FORECASTED_SPEND 1"]
    error_message = "It warns at 50, 80 and 100 %, and when the month will reach 100 %."
  }
  assert {
    condition     = length(google_billing_budget.tally[0].all_updates_rule[0].monitoring_notification_channels) == 2
    error_message = "The channels are told."
  }
}

run "a_budget_tells_five_channels_at_most" {
  command = plan

  variables {
    billing_account       = "012345-6789AB-CDEF01"
    notification_channels = [for number in range(5) : "projects/example-project/notificationChannels/${number}"]
  }

  expect_failures = [google_billing_budget.tally]
}

run "what_cannot_be_meant_is_refused" {
  command = plan

  variables {
    alert_emails           = ["ann"]
    billing_account        = "mine"
    budget                 = { currency = "euro" }
    completeness_tolerance = 0
    error_ratio            = 5
    latency_seconds        = { query = 0 }
    no_events_minutes      = 5
    notification_channels  = ["123"]
    oldest_message_minutes = 0
    rollup_minutes         = 61
  }

  expect_failures = [
    var.alert_emails, var.billing_account, var.budget, var.completeness_tolerance, var.error_ratio, var.latency_seconds,
    var.no_events_minutes, var.notification_channels, var.oldest_message_minutes, var.rollup_minutes,
  ]
}
