# A team's own use, about 1,000,000 events a month: the cheapest that makes sense. Everything but the database scales to
# zero; the first request after a pause takes some seconds.

database = {
  tier             = "db-g1-small" # shared CPU, 1.7 GB of memory; no SLA
  regional         = false
  disk_limit_gb    = 50
  max_connections  = 80
  retained_backups = 7
}

ingest = { max_instances = 2 }
record = { max_instances = 2 }
query  = { max_instances = 2 }
admin  = { max_instances = 2 }

# A job that starts every minute costs more than reading 10 minutes of events does. Crossed budgets are noticed then.
rollup_schedule = "*/10 * * * *"

alert_emails = [] # ["ann@example.com"]
