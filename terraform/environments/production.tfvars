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

rollup_schedule = "* * * * *"
