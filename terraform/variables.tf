# Those of monitoring are in monitoring_variables.tf.

variable "admin" {
  description = <<-TEXT
    Bounds of admin, which people and their scripts call: it may always start first. concurrency: a request holds a
    connection, of which an instance has 5; as many again wait their turn. max_instances bounds cost, and times 5 the
    connections.
  TEXT
  type = object({
    concurrency   = optional(number, 10)
    cpu           = optional(string, "1")
    max_instances = optional(number, 2)
    memory        = optional(string, "512Mi")
    min_instances = optional(number, 0)
  })
  default  = {}
  nullable = false

  validation {
    condition = (
      var.admin.max_instances >= max(1, var.admin.min_instances) && var.admin.min_instances >= 0
    )
    error_message = "admin: expected max_instances of 1 or more, and min_instances from 0 to max_instances."
  }
}

variable "armor" {
  description = <<-TEXT
    Cloud Armor before the load balancer: how many requests an address may make in a minute (a gateway sends for many
    users from one address, so this stops floods, not eager clients), and whether the rules against known attacks refuse
    (they watch by default, see load_balancer.tf).
  TEXT
  type = object({
    enforce             = optional(bool, false)
    requests_per_minute = optional(number, 12000)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.armor.requests_per_minute >= 1 && var.armor.requests_per_minute <= 1000000
    error_message = "armor.requests_per_minute: expected 1 to 1000000."
  }
}

variable "cache" {
  description = "Memorystore for Valkey: node type, shards and replicas; null for none. Nothing reads it yet."
  type = object({
    node_type = optional(string, "SHARED_CORE_NANO")
    replicas  = optional(number, 0)
    shards    = optional(number, 1)
  })
  default = null
}

variable "characters_per_token" {
  description = <<-TEXT
    Characters a token by provider, from which tokens are estimated where an event has none; default stands for all
    providers that are not named.
  TEXT
  type        = map(number)
  default     = { default = 2.5 }
  nullable    = false

  validation {
    condition     = alltrue([for characters in values(var.characters_per_token) : characters > 0 && characters <= 1000])
    error_message = "characters_per_token: expected numbers above 0, at most 1000."
  }
}

variable "database" {
  description = <<-TEXT
    Cloud SQL for PostgreSQL.
    version, edition: as Cloud SQL names them; ENTERPRISE has the shared-core and custom tiers.
    tier: db-g1-small and db-f1-micro are cheap and without an SLA; db-custom-CPUS-MEGABYTES is billed by both.
    regional: a standby in another zone takes over within a minute or two, for twice the price.
    disk_gb: size at first; Cloud SQL enlarges it up to disk_limit_gb. 10,000,000 events take 4.4 GB.
    max_connections: what connections.tf counts is refused above this. Each takes up to 10 MB of memory.
    retained_backups: daily ones. Besides, every moment of the last 7 days can be gone back to.
    backup_location: null for the multi-region nearest to the instance, which outlives the region.
    maintenance: day (1 is Monday) and hour in UTC.
  TEXT
  type = object({
    backup_location  = optional(string)
    disk_gb          = optional(number, 10)
    disk_limit_gb    = number
    edition          = optional(string, "ENTERPRISE")
    maintenance      = optional(object({ day = number, hour = number }), { day = 7, hour = 3 })
    max_connections  = number
    regional         = bool
    retained_backups = number
    tier             = string
    version          = optional(string, "POSTGRES_18")
  })
  nullable = false

  validation {
    condition     = contains(["POSTGRES_15", "POSTGRES_16", "POSTGRES_17", "POSTGRES_18"], var.database.version)
    error_message = "database.version: Tally is tested with POSTGRES_15 to POSTGRES_18."
  }
  validation {
    condition     = contains(["ENTERPRISE", "ENTERPRISE_PLUS"], var.database.edition)
    error_message = "database.edition: expected ENTERPRISE or ENTERPRISE_PLUS."
  }
  validation {
    condition     = var.database.disk_gb >= 10 && var.database.disk_limit_gb >= var.database.disk_gb
    error_message = "database: expected disk_gb of 10 or more, and disk_limit_gb not below it."
  }
  validation {
    condition     = var.database.retained_backups >= 1 && var.database.retained_backups <= 365
    error_message = "database.retained_backups: expected 1 to 365."
  }
  validation {
    condition = (
      contains(range(1, 8), var.database.maintenance.day) && contains(range(0, 24), var.database.maintenance.hour)
    )
    error_message = "database.maintenance: expected a day from 1 to 7 and an hour from 0 to 23."
  }
}

variable "deletion_protection" {
  description = "Whether database and warehouse are kept from being deleted, by Terraform and by anything else."
  type        = bool
  default     = true
  nullable    = false
}

variable "domain" {
  description = <<-TEXT
    Domain of the load balancer, such as usage.example.com; null for none: then services are reached at their run.app
    URLs. Its A record has to name the output load_balancer_ip before the certificate is given out.
  TEXT
  type        = string
  default     = null

  validation {
    condition     = var.domain == null || can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.domain))
    error_message = "domain: expected a name such as usage.example.com, in lower case, without scheme or path."
  }
}

variable "iap_members" {
  description = <<-TEXT
    Who may open the pages for people, such as group:team@example.com: with any, Identity-Aware Proxy asks for a Google
    sign-in there. Only behind a domain, and only for members of the project's own organization. API paths stay with
    API tokens.
  TEXT
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for member in var.iap_members : can(regex("^(user|group|domain):[^:]+$", member))])
    error_message = "iap_members: expected people such as user:ann@example.com or group:team@example.com, not allUsers."
  }
  validation {
    condition     = length(var.iap_members) == 0 || var.domain != null
    error_message = "iap_members: Identity-Aware Proxy stands at the load balancer; set domain too."
  }
}

variable "image" {
  description = "Image of the job migrate, which runs ahead of the others; null as long as there is none."
  type        = string
  default     = null

  validation {
    condition     = var.image == null || can(regex("^[^:@\\s]+/[^:@\\s]+(:[^:@\\s]+|@sha256:[0-9a-f]{64})$", var.image))
    error_message = "image: expected a tag or a digest, as in REGION-docker.pkg.dev/PROJECT/tally/tally:TAG."
  }
}

variable "images_kept" {
  description = "How many images the registry keeps: that many releases back a rollback can go."
  type        = number
  default     = 20
  nullable    = false

  validation {
    condition     = var.images_kept >= 2
    error_message = "images_kept: expected 2 or more, so that there is one to go back to."
  }
}

variable "ingest" {
  description = <<-TEXT
    Bounds of ingest. One CPU, since a process uses one. concurrency: requests of one instance are published together,
    so many are good, up to what memory holds of bodies. max_instances bounds cost, and times 5 the connections.
    min_instances of 1 spares the first client after a pause the start, some seconds.
  TEXT
  type = object({
    concurrency   = optional(number, 80)
    cpu           = optional(string, "1")
    max_instances = number
    memory        = optional(string, "512Mi")
    min_instances = optional(number, 0)
  })
  nullable = false

  validation {
    condition = (
      var.ingest.max_instances >= max(1, var.ingest.min_instances) && var.ingest.min_instances >= 0
    )
    error_message = "ingest: expected max_instances of 1 or more, and min_instances from 0 to max_instances."
  }
}

variable "log_level" {
  description = "Least severe level that functions log."
  type        = string
  default     = "INFO"
  nullable    = false

  validation {
    condition     = contains(["DEBUG", "INFO", "WARNING", "ERROR"], var.log_level)
    error_message = "log_level: expected one of DEBUG, INFO, WARNING, ERROR."
  }
}

variable "project" {
  description = "Id of the Google Cloud project."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "project: expected a project id such as example-project, not a name or a number."
  }
}

variable "query" {
  description = <<-TEXT
    Bounds of query. concurrency: a question holds a connection, of which an instance has 10; as many again wait their
    turn. max_instances bounds cost, and times 10 the connections.
  TEXT
  type = object({
    concurrency   = optional(number, 20)
    cpu           = optional(string, "1")
    max_instances = number
    memory        = optional(string, "512Mi")
    min_instances = optional(number, 0)
  })
  nullable = false

  validation {
    condition = (
      var.query.max_instances >= max(1, var.query.min_instances) && var.query.min_instances >= 0
    )
    error_message = "query: expected max_instances of 1 or more, and min_instances from 0 to max_instances."
  }
}

variable "query_timeout_seconds" {
  description = "Seconds after which a question is given up as too large."
  type        = number
  default     = 4.5
  nullable    = false

  validation {
    condition     = var.query_timeout_seconds > 0 && var.query_timeout_seconds <= 50
    error_message = "query_timeout_seconds: expected more than 0 and at most 50; Cloud Run gives up a request after 60."
  }
}

variable "raw_retention_days" {
  description = "Days for which single events are kept; older partitions are dropped, their figures stay."
  type        = number
  default     = 400
  nullable    = false

  validation {
    condition     = var.raw_retention_days == floor(var.raw_retention_days) && var.raw_retention_days >= 1
    error_message = "raw_retention_days: expected a whole number of days, 1 or more."
  }
}

variable "record" {
  description = <<-TEXT
    Bounds of record. concurrency: pushes of one instance are stored in one transaction; a push may be 15 MB, and
    several such at once are what memory is for. max_instances bounds cost, and times 5 the connections: what does not
    get through waits in Pub/Sub.
  TEXT
  type = object({
    concurrency   = optional(number, 64)
    cpu           = optional(string, "1")
    max_instances = number
    memory        = optional(string, "1Gi")
    min_instances = optional(number, 0)
  })
  nullable = false

  validation {
    condition = (
      var.record.max_instances >= max(1, var.record.min_instances) && var.record.min_instances >= 0
    )
    error_message = "record: expected max_instances of 1 or more, and min_instances from 0 to max_instances."
  }
}

variable "region" {
  description = "Region of everything, such as europe-west1. Tally does not move: another region is another deployment."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region: expected a region such as europe-west1, not a zone or a multi-region."
  }
}

variable "replica" {
  description = "Tier of a read replica for query, not smaller than the primary's; null for none."
  type        = object({ tier = string })
  default     = null
}

variable "rollup_schedule" {
  description = <<-TEXT
    When the rollup runs, as five cron fields in UTC. Figures are exact whatever it is; with more events between two
    runs a question reads more of them one by one, and a crossed budget is noticed by the next run.
  TEXT
  type        = string
  default     = "* * * * *"
  nullable    = false

  validation {
    condition     = can(regex("^[0-9*,/-]+( [0-9A-Za-z*,/-]+){4}$", var.rollup_schedule))
    error_message = "rollup_schedule: expected five cron fields, such as */10 * * * *."
  }
}

variable "serving_image" {
  description = "Image of services and of the jobs beside them; null until the database was migrated once."
  type        = string
  default     = null

  validation {
    condition = (
      var.serving_image == null ||
      can(regex("^[^:@\\s]+/[^:@\\s]+(:[^:@\\s]+|@sha256:[0-9a-f]{64})$", var.serving_image))
    )
    error_message = "serving_image: expected a tag or a digest, as in REGION-docker.pkg.dev/PROJECT/tally/tally:TAG."
  }
}

variable "subnet_range" {
  description = "Addresses of the functions in the network; others where this network is joined to one that has these."
  type        = string
  default     = "10.130.0.0/22"
  nullable    = false

  validation {
    condition     = can(cidrhost(var.subnet_range, 0)) && try(tonumber(split("/", var.subnet_range)[1]) <= 26, false)
    error_message = "subnet_range: expected a range such as 10.130.0.0/22; Cloud Run needs a /26 or larger."
  }
}

variable "token_ttl_seconds" {
  description = "Seconds for which a function may use an API token unread: so long a revoked one may go on to work."
  type        = number
  default     = 2
  nullable    = false

  validation {
    condition     = var.token_ttl_seconds >= 0 && var.token_ttl_seconds <= 300
    error_message = "token_ttl_seconds: expected 0 to 300."
  }
}

variable "warehouse" {
  description = "Whether every message is written to BigQuery as well."
  type        = bool
  default     = false
  nullable    = false
}
