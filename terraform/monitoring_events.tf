# What becomes of events between the topic and the database, and of budgets that they cross.
locals {
  event_policies = {
    dead_letters_in_pubsub = {
      on       = true
      title    = "Dead letters in Pub/Sub"
      severity = "ERROR"
      query    = "sum by (subscription_id) (${local.series.dead_letters}) > 0"
      lasts    = "300s"
      why      = "record refused messages ten times. They are set aside for 31 days: nothing is lost yet."
      first    = "mend what record complains of (`make logs FUNCTION=record SINCE=6h`), then have it take them again."
    }

    dead_letters_in_database = {
      on       = true
      title    = "Dead letters in the database"
      severity = "WARNING"
      query    = "sum(increase(${local.series.events_buried}[1h])) > 0"
      lasts    = "0s"
      why      = "Somebody publishes what cannot be read. It is kept in the table `dead_letters`, and not counted."
      first    = "read their reasons in the table; they name the field, and the source names who sends them."
    }

    oldest_message = {
      on       = true
      title    = "Messages wait for record"
      severity = "CRITICAL"
      query    = "max(${local.series.oldest}) > ${var.oldest_message_minutes * 60}"
      lasts    = "300s"
      why      = "Figures lack the newest events. Pub/Sub keeps what waits for 7 days; after that it is lost."
      first    = "`make logs FUNCTION=record`, and whether the database is reached."
    }

    no_events = {
      on       = var.no_events_minutes != null && var.serving_image != null
      title    = "No events"
      severity = "ERROR"
      # Counts come interpolated: one event may show as a little less than 1.
      query = "(sum(increase(${local.series.published}[${coalesce(var.no_events_minutes, 10)}m])) or vector(0)) < 0.5"
      lasts = "0s"
      why   = "Nobody has published anything for ${coalesce(var.no_events_minutes, 10)} minutes."
      first = "`make smoke`: does an event get through? If it does, look at whoever should be sending."
    }

    completeness = {
      on       = true
      title    = "Messages are missing"
      severity = "CRITICAL"
      # Each side of the subscription of the last six hours. What waits moves between the two, at its most and its
      # least within ten minutes because Pub/Sub leaves gaps in it. Reports of the two sides are minutes apart, but not
      # an hour: a difference that lasts is one.
      query = <<-PROMQL
        (
          (sum(increase(${local.series.published}[6h])) or vector(0))
          - (sum(increase(${local.series.acknowledged}[6h])) or vector(0))
          - (sum(increase(${local.series.dead_lettered}[6h])) or vector(0))
          - (sum(max_over_time(${local.series.waiting}[10m])) or vector(0))
          + (sum(min_over_time(${local.series.waiting}[10m] offset 6h)) or vector(0))
        ) > clamp_min(
          ${var.completeness_tolerance} * (sum(increase(${local.series.published}[6h])) or vector(0)), 20
        )
      PROMQL
      lasts = "3600s"
      why   = "Fewer messages were stored, set aside or still wait than were published, for an hour now."
      first = "has somebody purged or replaced the subscription? The topic keeps messages for 7 days: go back in it."
    }

    pushes_refused = {
      on       = true
      title    = "Pushes are refused"
      severity = "ERROR"
      # Also those that reach no instance, which requests of Cloud Run leave out.
      query = <<-PROMQL
        sum by (response_class) (increase(${local.series.refused}[15m]))
        / on () group_left () sum(increase(${local.series.pushes}[15m])) > ${var.error_ratio}
        and sum by (response_class) (increase(${local.series.refused}[15m])) > 10
      PROMQL
      lasts = "300s"
      why   = "record does not take what Pub/Sub brings. Each message comes again, up to ten times."
      first = "4xx: may tally-push still call record? 5xx: `make logs FUNCTION=record`. Deadline: the database is slow."
    }

    budget_crossed = {
      on       = var.budget_alerts
      title    = "A budget is crossed"
      severity = "WARNING"
      query    = "sum by (budget_id) (increase(${local.series.budgets_crossed}[1h])) > 0"
      lasts    = "0s"
      why      = "Usage reached a threshold of a budget. Its webhook and `usage-notifications` are told as well."
      first    = "`GET /v1/budgets` says which one, what is spent and left, and what the period comes to."
    }

    budgets_untold = {
      on       = true
      title    = "Budgets are not told of"
      severity = "ERROR"
      query    = "sum by (what) (increase(${local.series.budgets_untold}[1h])) > 0"
      lasts    = "0s"
      why      = "A webhook did not take a crossing for three days, or whether a budget is crossed could not be asked."
      first    = "`make logs FUNCTION=rollup SINCE=6h`: the lines have the reason, and which budget or webhook it is."
    }
  }
}
