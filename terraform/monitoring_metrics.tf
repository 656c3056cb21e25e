# What is measured, for alerts and dashboard: names of Cloud Monitoring, as PromQL selects them. Lists of all there are:
# https://cloud.google.com/monitoring/api/metrics_gcp
locals {
  measured_on = {
    database     = "database_id=~'${var.project}:tally(-replica)?'"
    dead_letters = "subscription_id=~'usage-events.*-dead-letters'" # those of the warehouse too
    record       = "subscription_id='${google_pubsub_subscription.record.name}'"
    topic        = "topic_id='${google_pubsub_topic.usage_events.name}'"

    # Metrics that several kinds of resources have ask for the kind.
    job     = "monitored_resource='cloud_run_job', job_name=~'tally-.*'"
    service = "monitored_resource='cloud_run_revision', service_name=~'tally-.*'"
    uptime  = "monitored_resource='uptime_url', check_id=~'${join("|", local.uptime_check_ids)}'"
  }

  measures = merge(local.latencies, {
    # Messages. Pushes, not acknowledgements: a message moved to the dead-letter topic may count among those.
    acknowledged = ["pubsub.googleapis.com/subscription/push_request_count", "record", "response_class='ack'"]
    dead_letters = ["pubsub.googleapis.com/subscription/num_undelivered_messages", "dead_letters"]
    dead_lettered = [
      "pubsub.googleapis.com/subscription/dead_letter_message_count", "record", "response_code='success'"
    ]
    oldest    = ["pubsub.googleapis.com/subscription/oldest_unacked_message_age", "record"]
    published = ["pubsub.googleapis.com/topic/message_sizes_count", "topic"]
    pushes    = ["pubsub.googleapis.com/subscription/push_request_count", "record"]
    refused   = ["pubsub.googleapis.com/subscription/push_request_count", "record", "response_class!='ack'"]
    waiting   = ["pubsub.googleapis.com/subscription/num_undelivered_messages", "record"]

    # Budgets and events, of the log: monitoring_logs.tf.
    budgets_crossed   = ["logging.googleapis.com/user/${google_logging_metric.budgets_crossed.name}", "job"]
    budgets_untold    = ["logging.googleapis.com/user/${google_logging_metric.budgets_untold.name}", "job"]
    events_buried     = ["logging.googleapis.com/user/${google_logging_metric.dead_letters.name}_sum", "service"]
    events_folded     = ["logging.googleapis.com/user/${google_logging_metric.folded_events.name}_sum", "job"]
    unexpected_errors = ["logging.googleapis.com/user/${google_logging_metric.unexpected_errors.name}", "service"]

    # Requests that reached an instance, milliseconds of their answers.
    instances = ["run.googleapis.com/container/instance_count", "service"]
    requests  = ["run.googleapis.com/request_count", "service"]
    failures  = ["run.googleapis.com/request_count", "service", "response_code_class='5xx'"]

    # Those of command are left out: whoever ran it saw it fail.
    job_failures = [
      "run.googleapis.com/job/completed_execution_count", "job", "job_name!='tally-command'", "result='failed'"
    ]
    job_runs = ["run.googleapis.com/job/completed_execution_count", "job"]
    rollups = [
      "run.googleapis.com/job/completed_execution_count", "job", "job_name='tally-rollup'", "result!='failed'"
    ]

    # Parts of 1, but for bytes and connections.
    connections = ["cloudsql.googleapis.com/database/postgresql/num_backends", "database"]
    cpu         = ["cloudsql.googleapis.com/database/cpu/utilization", "database"]
    disk        = ["cloudsql.googleapis.com/database/disk/utilization", "database"]
    disk_bytes  = ["cloudsql.googleapis.com/database/disk/bytes_used", "database"]
    memory      = ["cloudsql.googleapis.com/database/memory/utilization", "database"]

    # Seconds, below 0 when replication has stopped; part of the 2 billion that may pass between two vacuums.
    replica_lag     = ["cloudsql.googleapis.com/database/replication/replica_lag", "database"]
    transaction_ids = ["cloudsql.googleapis.com/database/postgresql/transaction_id_utilization", "database"]

    certificate_days = ["monitoring.googleapis.com/uptime_check/time_until_ssl_cert_expires", "uptime"]
    uptime           = ["monitoring.googleapis.com/uptime_check/check_passed", "uptime"]
  })

  latencies = {
    for function in keys(var.latency_seconds) : "latency_${function}" =>
    ["run.googleapis.com/request_latencies_bucket", "service", "service_name='tally-${function}'"]
  }

  # Measure → its time series of this project: {__name__='metric', label='value', …}
  series = {
    for name, measure in local.measures : name => format("{%s}", join(", ", concat(
      ["__name__='${measure[0]}'", "project_id='${var.project}'", local.measured_on[measure[1]]],
      slice(measure, 2, length(measure)),
    )))
  }
}
