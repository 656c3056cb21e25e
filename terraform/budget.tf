# What it costs, told ahead. Only with a billing account, which is often somebody else's to watch.
resource "google_billing_budget" "tally" {
  count = var.billing_account == null ? 0 : 1

  billing_account = var.billing_account
  display_name    = "Tally: ${var.project}"

  budget_filter {
    projects = ["projects/${data.google_project.this.number}"]
  }

  amount {
    specified_amount {
      currency_code = var.budget.currency
      units         = var.budget.amount
    }
  }

  dynamic "threshold_rules" {
    for_each = [
      { percent = 0.5, basis = "CURRENT_SPEND" },
      { percent = 0.8, basis = "CURRENT_SPEND" },
      { percent = 1.0, basis = "CURRENT_SPEND" },
      { percent = 1.0, basis = "FORECASTED_SPEND" }, # what the month comes to, as long as something can be done
    ]
    content {
      threshold_percent = threshold_rules.value.percent
      spend_basis       = threshold_rules.value.basis
    }
  }

  # Besides whoever administers the billing account.
  dynamic "all_updates_rule" {
    for_each = length(local.channels) > 0 ? [local.channels] : []
    content { monitoring_notification_channels = all_updates_rule.value }
  }

  lifecycle {
    precondition {
      condition     = length(local.channels) <= 5
      error_message = "A budget tells five channels at most: fewer alert_emails and notification_channels, please."
    }
  }

  depends_on = [google_project_service.api]
}
