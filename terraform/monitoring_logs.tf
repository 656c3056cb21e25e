# Counted from the log, because nothing else knows it. tests/terraform/test_monitoring.py has the code log these lines
# and looks whether the filters find them.
resource "google_logging_metric" "budgets_crossed" {
  name        = "tally_budgets_crossed"
  description = "Crossings of budgets, as the rollup tells them to the log"

  filter = <<-FILTER
    resource.type="cloud_run_job"
    resource.labels.job_name="tally-rollup"
    jsonPayload.message="budget crossed"
  FILTER

  label_extractors = { budget_id = "EXTRACT(jsonPayload.budget_id)" }

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"

    labels {
      key         = "budget_id"
      value_type  = "STRING"
      description = "The budget that is crossed"
    }
  }

  depends_on = [google_project_service.api]
}

resource "google_logging_metric" "budgets_untold" {
  name        = "tally_budgets_untold"
  description = "Crossings that could not be told, and budgets of which nobody knows whether they are crossed"

  filter = <<-FILTER
    resource.type="cloud_run_job"
    resource.labels.job_name="tally-rollup"
    severity>=ERROR
    jsonPayload.message=~"^(notification given up|budget not evaluated)$"
  FILTER

  label_extractors = { what = "EXTRACT(jsonPayload.message)" }

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"

    labels {
      key         = "what"
      value_type  = "STRING"
      description = "The line that was logged"
    }
  }

  depends_on = [google_project_service.api]
}

resource "google_logging_metric" "dead_letters" {
  name        = "tally_dead_letters"
  description = "Events that record could not store and keeps in the table dead_letters"

  filter = <<-FILTER
    resource.type="cloud_run_revision"
    resource.labels.service_name="tally-record"
    jsonPayload.message="dead letters"
  FILTER

  value_extractor = "EXTRACT(jsonPayload.dead)"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = "1"
  }

  depends_on = [google_project_service.api]
}

resource "google_logging_metric" "folded_events" {
  name        = "tally_folded_events"
  description = "Stored events, as the rollup folds them into the figures"

  filter = <<-FILTER
    resource.type="cloud_run_job"
    resource.labels.job_name="tally-rollup"
    jsonPayload.message="rolled up"
  FILTER

  value_extractor = "EXTRACT(jsonPayload.folded)"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = "1"
  }

  depends_on = [google_project_service.api]
}

resource "google_logging_metric" "unexpected_errors" {
  name        = "tally_unexpected_errors"
  description = "Requests that failed as nobody foresaw, with their traceback in the log"

  filter = <<-FILTER
    resource.type="cloud_run_revision"
    resource.labels.service_name=~"^tally-"
    severity>=ERROR
    jsonPayload.message="unexpected error"
  FILTER

  label_extractors = { function = "EXTRACT(jsonPayload.function)" }

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"

    labels {
      key         = "function"
      value_type  = "STRING"
      description = "The function that logged it"
    }
  }

  depends_on = [google_project_service.api]
}
