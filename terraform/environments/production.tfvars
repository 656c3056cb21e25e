# Many clients, and somebody who is called at night. Copy this, put your own values in, and deploy with VARS=your-file.

domain = "usage.example.com"

# Pages for people ask for a Google sign-in; this list is who gets in.
iap_members = [] # ["group:tally-users@example.com"]

database = {
  tier             = "db-custom-4-16384"
  regional         = true
  disk_gb          = 100 # disk speed grows with its size
  disk_limit_gb    = 1000
  max_connections  = 200
  retained_backups = 30
}

# A replica takes questions off the primary, once they slow down what is stored.
replica = null # { tier = "db-custom-4-16384" }

# One instance is always warm: nobody waits for a start.
ingest = { min_instances = 1, max_instances = 10, memory = "1Gi" }
record = { min_instances = 1, max_instances = 10, memory = "2Gi" }
query  = { min_instances = 1, max_instances = 6, memory = "1Gi" }
admin  = { max_instances = 2 } # for people, who can wait for it

rollup_schedule = "* * * * *"

# Who is called. Where events come at any hour, no_events_minutes notices that they stopped.
alert_emails      = [] # ["oncall@example.com"]
no_events_minutes = null
rollup_minutes    = 20

# What Google's bill may come to in a month before it is told; needs the billing account.
billing_account = null # "012345-6789AB-CDEF01"
budget          = { amount = 800 }
