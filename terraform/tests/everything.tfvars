# Every optional part at once, for checks that look at what is made: nobody deploys this.
domain      = "usage.example.com"
iap_members = ["group:team@example.com"]

database = {
  tier             = "db-custom-2-8192"
  regional         = true
  disk_limit_gb    = 100
  max_connections  = 100
  retained_backups = 7
}

ingest = { max_instances = 2 }
record = { max_instances = 2 }
query  = { max_instances = 2 }

cache     = {}
replica   = { tier = "db-custom-2-8192" }
warehouse = true

project       = "example-project"
region        = "europe-west1"
image         = "europe-west1-docker.pkg.dev/example-project/tally/tally:0123456789abcdef"
serving_image = "europe-west1-docker.pkg.dev/example-project/tally/tally:0123456789abcdef"

alert_emails      = ["oncall@example.com"]
billing_account   = "012345-6789AB-CDEF01"
budget_alerts     = true
no_events_minutes = 60
