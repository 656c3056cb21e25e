# One page, in the order in which an event passes: messages, services, database, jobs.
locals {
  # Queries by what their lines are called; ${label} is the value of a label. unit: as https://ucum.org writes it.
  charts = [
    {
      title = "Messages published and stored, a second"
      unit  = "1/s"
      lines = {
        published     = "sum(rate(${local.series.published}[$${__interval}]))"
        stored        = "sum(rate(${local.series.acknowledged}[$${__interval}]))"
        dead-lettered = "sum(rate(${local.series.dead_lettered}[$${__interval}]))"
      }
    },
    {
      title = "Events stored (folded by the rollup), and kept as dead letters, a minute"
      unit  = "1"
      lines = {
        stored       = "60 * sum(rate(${local.series.events_folded}[$${__interval}]))"
        dead-letters = "60 * sum(rate(${local.series.events_buried}[$${__interval}]))"
      }
    },
    {
      title = "Budgets crossed, and not told of, an hour"
      unit  = "1"
      lines = {
        crossed    = "3600 * sum(rate(${local.series.budgets_crossed}[$${__interval}]))"
        "$${what}" = "3600 * sum by (what) (rate(${local.series.budgets_untold}[$${__interval}]))"
      }
    },
    {
      title = "Pushes refused, a second"
      unit  = "1/s"
      lines = { "$${response_class}" = "sum by (response_class) (rate(${local.series.refused}[$${__interval}]))" }
    },
    {
      title = "Messages that wait for record"
      unit  = "1"
      lines = { messages = "sum(${local.series.waiting})" }
    },
    {
      title = "Age of the oldest of them"
      unit  = "s"
      lines = { age = "max(${local.series.oldest})" }
    },
    {
      title = "Messages in dead-letter subscriptions"
      unit  = "1"
      lines = { "$${subscription_id}" = "sum by (subscription_id) (${local.series.dead_letters})" }
    },
    {
      title = "Requests, a second"
      unit  = "1/s"
      lines = { "$${service_name}" = "sum by (service_name) (rate(${local.series.requests}[$${__interval}]))" }
    },
    {
      title = "Answers with 5xx, a second"
      unit  = "1/s"
      lines = { "$${service_name}" = "sum by (service_name) (rate(${local.series.failures}[$${__interval}]))" }
    },
    {
      title = "Response time, 99th percentile"
      unit  = "ms"
      lines = {
        for function in keys(local.latencies) : replace(function, "latency_", "tally-") =>
        "histogram_quantile(0.99, sum by (le) (rate(${local.series[function]}[$${__interval}])))"
      }
    },
    {
      title = "Instances"
      unit  = "1"
      lines = { "$${service_name}, $${state}" = "sum by (service_name, state) (${local.series.instances})" }
    },
    {
      title = "Unexpected errors, a minute"
      unit  = "1"
      lines = { "$${function}" = "60 * sum by (function) (rate(${local.series.unexpected_errors}[$${__interval}]))" }
    },
    {
      title = "Runs of jobs, a minute"
      unit  = "1"
      lines = {
        "$${job_name}, $${result}" = "60 * sum by (job_name, result) (rate(${local.series.job_runs}[$${__interval}]))"
      }
    },
    {
      title = "Database: CPU and memory"
      unit  = "10^2.%" # a part of 1, shown as a percentage
      lines = {
        "$${database_id}, CPU"    = "max by (database_id) (${local.series.cpu})"
        "$${database_id}, memory" = "max by (database_id) (${local.series.memory})"
      }
    },
    {
      title = "Database: disk, of at most ${var.database.disk_limit_gb} GB"
      unit  = "By"
      lines = { "$${database_id}" = "max by (database_id) (${local.series.disk_bytes})" }
    },
    {
      title = "Database: connections, of at most ${var.database.max_connections}"
      unit  = "1"
      lines = { "$${database_id}" = "sum by (database_id) (${local.series.connections})" }
    },
  ]
}

resource "google_monitoring_dashboard" "tally" {
  dashboard_json = jsonencode({
    displayName = "Tally"
    mosaicLayout = {
      columns = 48
      tiles = [
        for index, chart in local.charts : {
          xPos   = index % 3 * 16
          yPos   = floor(index / 3) * 14
          width  = 16
          height = 14
          widget = {
            title = chart.title
            xyChart = {
              dataSets = [
                for name, query in chart.lines : {
                  plotType        = "LINE"
                  targetAxis      = "Y1"
                  legendTemplate  = name
                  timeSeriesQuery = { prometheusQuery = query, unitOverride = chart.unit }
                }
              ]
            }
          }
        }
      ]
    }
  })

  depends_on = [google_project_service.api]
}
