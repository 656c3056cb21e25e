# Who is told, and the alerts. What is watched is in the files beside this one: monitoring_events.tf,
# monitoring_services.tf, monitoring_database.tf. What to do then is in docs/runbook.md, a section for each title.
resource "google_monitoring_notification_channel" "email" {
  for_each = var.alert_emails

  type         = "email"
  display_name = "Tally: ${each.value}"
  labels       = { email_address = each.value }
  user_labels  = { app = "tally" }

  depends_on = [google_project_service.api]
}

locals {
  channels = concat(
    [for channel in google_monitoring_notification_channel.email : channel.name], var.notification_channels
  )

  # Key → what is watched. on: whether at all. query: PromQL that gives something while not all is well; lasts: for how
  # long before it alerts. why and first are shown with the alert.
  policies = {
    for key, policy in merge(local.event_policies, local.service_policies, local.database_policies) :
    key => policy if policy.on
  }
}

resource "google_monitoring_alert_policy" "policy" {
  for_each = local.policies

  display_name = "Tally: ${each.value.title}"
  combiner     = "OR"
  severity     = each.value.severity

  notification_channels = local.channels
  user_labels           = { app = "tally", policy = each.key }

  conditions {
    display_name = each.value.title

    condition_prometheus_query_language {
      query               = each.value.query
      duration            = each.value.lasts
      evaluation_interval = "60s"

      # A metric made from logs is not known until minutes after it was defined: the first deploy would fail.
      disable_metric_validation = true
    }
  }

  alert_strategy {
    auto_close           = "86400s" # where data stop for good; else it closes by itself when the query gives nothing
    notification_prompts = ["OPENED", "CLOSED"]
  }

  documentation {
    subject   = "Tally: ${each.value.title}"
    mime_type = "text/markdown"
    content   = <<-MARKDOWN
      ${chomp(each.value.why)}

      **First:** ${chomp(each.value.first)}

      More in docs/runbook.md, section "${each.value.title}".
    MARKDOWN
  }

  depends_on = [google_project_service.api]
}
