# Services and jobs, from inside and from outside.
locals {
  # Behind the load balancer /health is query's. A request with a token that nobody has reaches the others, which ask
  # the database for it: 401 where all is well, 503 where the database or its schema is missing.
  uptime_checks = !var.uptime_checks || var.serving_image == null ? {} : {
    for function, check in local.checks_behind_domain : function => merge(
      { url = var.domain == null ? local.public_urls[function] : "https://${var.domain}" },
      var.domain == null ? local.checks_behind_domain.query : check
    )
  }
  checks_behind_domain = {
    admin  = { method = "GET", path = "/v1/audit-log", status = 401 }
    ingest = { method = "POST", path = "/v1/events", status = 401 }
    query  = { method = "GET", path = "/health/ready", status = 200 }
  }
  public_urls      = { admin = module.admin.uri, ingest = module.ingest.uri, query = module.query.uri }
  uptime_check_ids = [for check in google_monitoring_uptime_check_config.service : check.uptime_check_id]

  service_policies = {
    errors = {
      on       = true
      title    = "Requests fail"
      severity = "CRITICAL"
      query    = <<-PROMQL
        sum by (service_name) (increase(${local.series.failures}[10m]))
        / sum by (service_name) (increase(${local.series.requests}[10m])) > ${var.error_ratio}
        and sum by (service_name) (increase(${local.series.failures}[10m])) >= 5
      PROMQL
      lasts    = "120s"
      why      = "A service answers with 5xx. Clients are told to come again; nothing that got a 2xx is lost."
      first    = "`make logs FUNCTION=` with the service: \"unavailable\" says what is away, else there is a traceback."
    }

    latency = {
      on       = true
      title    = "Answers are slow"
      severity = "WARNING"
      query = join(" or ", [
        for function, seconds in var.latency_seconds : format(
          "histogram_quantile(0.99, sum by (le, service_name) (rate(%s[5m]))) > %v",
          local.series["latency_${function}"], seconds * 1000
        )
      ])
      lasts = "900s"
      why   = "One request in a hundred takes longer than latency_seconds, for a quarter of an hour."
      first = "look at CPU and connections of the database, then at its slowest statements in Query Insights."
    }

    unexpected_errors = {
      on       = true
      title    = "Unexpected errors"
      severity = "ERROR"
      query    = "sum by (function) (increase(${local.series.unexpected_errors}[1h])) > 0"
      lasts    = "0s"
      why      = "A function met what nobody foresaw, and answered 500. It is a defect; its traceback is in the log."
      first    = "`make logs FUNCTION=` with the function. If it came with a release: `make rollback`."
    }

    uptime = {
      on       = length(local.uptime_checks) > 0
      title    = "Not reachable from outside"
      severity = "CRITICAL"
      query    = "avg by (check_id) (max_over_time(${local.series.uptime}[11m])) < 0.5" # two checks a place
      lasts    = "60s"
      why      = "From most places of the world a service did not say that it is ready, twice running."
      first    = "ask it: `curl -i` the address of the check; a 503 says what is missing."
    }

    certificate = {
      on       = length(local.uptime_checks) > 0 && var.domain != null
      title    = "Certificate expires"
      severity = "ERROR"
      query    = "min by (check_id) (min_over_time(${local.series.certificate_days}[1h])) < 14"
      lasts    = "600s"
      why      = "Google renews the certificate of the domain a month ahead, and did not."
      first    = "does the domain's A record still name the load balancer? Does a CAA record forbid Google?"
    }

    job_failures = {
      on       = true
      title    = "A job failed"
      severity = "WARNING"
      query    = "sum by (job_name) (increase(${local.series.job_failures}[1h])) > 0"
      lasts    = "0s"
      why      = "A run of migrate or rollup ended with an error. The next rollup does what this one could not."
      first    = "`make logs FUNCTION=rollup` or `FUNCTION=migrate`."
    }

    rollup_stalled = {
      on       = var.rollup_minutes != null && var.serving_image != null
      title    = "No rollup"
      severity = "ERROR"
      # Half the time is looked back, half is waited: a new deployment has not run one yet.
      query = format(
        "(sum(increase(%s[%vm])) or vector(0)) < 0.5", local.series.rollups, coalesce(var.rollup_minutes, 60) / 2
      )
      lasts = "${coalesce(var.rollup_minutes, 60) * 30}s"
      why   = <<-TEXT
        No rollup has succeeded for ${coalesce(var.rollup_minutes, 60)} minutes. Figures stay exact, but get slower the
        more events are not folded, and in the end there is no partition for new ones.
      TEXT
      first = "`gcloud run jobs executions list --job=tally-rollup`, `make logs FUNCTION=rollup`."
    }
  }
}

resource "google_monitoring_uptime_check_config" "service" {
  for_each = local.uptime_checks

  display_name = "tally-${each.key}"
  period       = "300s"
  timeout      = "30s" # an instance that has to start first takes some seconds
  user_labels  = { app = "tally" }

  http_check {
    path           = each.value.path
    port           = 443
    use_ssl        = true
    validate_ssl   = true
    request_method = each.value.method
    headers        = each.value.status == 401 ? { Authorization = "Bearer tly_uptime_check" } : {} # no secret

    accepted_response_status_codes { status_value = each.value.status }
  }

  monitored_resource {
    type   = "uptime_url"
    labels = { host = trimprefix(each.value.url, "https://"), project_id = var.project }
  }

  depends_on = [google_project_service.api]
}
