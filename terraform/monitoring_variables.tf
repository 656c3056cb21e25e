variable "alert_emails" {
  description = "Addresses that alerts go to. Without any, and without notification_channels, they are only shown."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for email in var.alert_emails : can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", email))])
    error_message = "alert_emails: expected addresses such as ann@example.com."
  }
}

variable "billing_account" {
  description = <<-TEXT
    Billing account of the project, for a budget; null for none. Whoever applies needs roles/billing.costsManager there.
  TEXT
  type        = string
  default     = null

  validation {
    condition     = var.billing_account == null || can(regex("^[0-9A-F]{6}(-[0-9A-F]{6}){2}$", var.billing_account))
    error_message = "billing_account: expected an id such as 012345-6789AB-CDEF01."
  }
}

variable "budget" {
  description = "What the project may cost in a month, in the billing account's currency. It warns, it stops nothing."
  type = object({
    amount   = optional(number, 100)
    currency = optional(string, "USD")
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.budget.amount == floor(var.budget.amount) && var.budget.amount >= 1
    error_message = "budget.amount: expected a whole number, 1 or more."
  }
  validation {
    condition     = can(regex("^[A-Z]{3}$", var.budget.currency))
    error_message = "budget.currency: expected an ISO 4217 code such as USD."
  }
}

variable "budget_alerts" {
  description = <<-TEXT
    Whether a crossed budget of Tally's alerts as a fault does, besides its webhook and the topic usage-notifications.
    What Google's bill may come to is the variable budget.
  TEXT
  type        = bool
  default     = false
  nullable    = false
}

variable "completeness_tolerance" {
  description = <<-TEXT
    Which part of the messages published in six hours may seem missing before it alerts; 20 messages always may. What
    Pub/Sub says of the two ends of a subscription is counted apart and interpolated: 0 would alert without a cause.
  TEXT
  type        = number
  default     = 0.01
  nullable    = false

  validation {
    condition     = var.completeness_tolerance > 0 && var.completeness_tolerance < 1
    error_message = "completeness_tolerance: expected a part above 0 and below 1, such as 0.01."
  }
}

variable "error_ratio" {
  description = "Which part of its requests a service may answer with 5xx, and record may refuse, before it alerts."
  type        = number
  default     = 0.05
  nullable    = false

  validation {
    condition     = var.error_ratio > 0 && var.error_ratio < 1
    error_message = "error_ratio: expected a part above 0 and below 1, such as 0.05."
  }
}

variable "latency_seconds" {
  description = <<-TEXT
    99th percentile of response times above which it alerts, by service. query's is the time that a question has
    (query_timeout_seconds), and some more; admin's that of one statement, of which pricing events again takes several.
  TEXT
  type = object({
    admin  = optional(number, 60)
    ingest = optional(number, 2)
    query  = optional(number, 5)
    record = optional(number, 10)
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for seconds in values(var.latency_seconds) : seconds > 0])
    error_message = "latency_seconds: expected seconds above 0."
  }
}

variable "no_events_minutes" {
  description = <<-TEXT
    After how many minutes without a single event it alerts; null for never. Only where events come at any hour.
  TEXT
  type        = number
  default     = null

  validation {
    condition = var.no_events_minutes == null || try(
      var.no_events_minutes == floor(var.no_events_minutes) &&
      var.no_events_minutes >= 10 && var.no_events_minutes <= 1380, false
    )
    error_message = "no_events_minutes: expected 10 to 1380 whole minutes; Cloud Monitoring looks back a day."
  }
}

variable "notification_channels" {
  description = "Further channels of Cloud Monitoring, by name: projects/PROJECT/notificationChannels/NUMBER."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition = alltrue([
      for channel in var.notification_channels : can(regex("^projects/[^/]+/notificationChannels/[^/]+$", channel))
    ])
    error_message = "notification_channels: expected names such as projects/example-project/notificationChannels/123."
  }
}

variable "oldest_message_minutes" {
  description = "For how many minutes a message may wait for record before it alerts."
  type        = number
  default     = 15
  nullable    = false

  validation {
    condition     = var.oldest_message_minutes >= 1
    error_message = "oldest_message_minutes: expected 1 or more."
  }
}

variable "rollup_minutes" {
  description = <<-TEXT
    After how many minutes without a successful rollup it alerts; null for never. More than four times the interval of
    rollup_schedule.
  TEXT
  type        = number
  default     = 60

  validation {
    condition = var.rollup_minutes == null || try(
      var.rollup_minutes % 2 == 0 && var.rollup_minutes >= 10 && var.rollup_minutes <= 1380, false
    )
    error_message = "rollup_minutes: expected an even number from 10 to 1380."
  }
}

variable "uptime_checks" {
  description = "Whether admin, ingest and query are asked from outside whether they are ready, every five minutes."
  type        = bool
  default     = true
  nullable    = false
}
