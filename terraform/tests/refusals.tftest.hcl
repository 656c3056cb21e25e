# What is refused before anything is made.
mock_provider "google" {}
mock_provider "google-beta" {}

variables {
  project       = "example-project"
  region        = "europe-west1"
  image         = "europe-west1-docker.pkg.dev/example-project/tally/tally:new"
  serving_image = "europe-west1-docker.pkg.dev/example-project/tally/tally:old"
  domain        = null
  iap_members   = []
  replica       = null
  database = {
    tier             = "db-custom-1-3840"
    regional         = false
    disk_limit_gb    = 50
    max_connections  = 69
    retained_backups = 7
  }
  admin  = { max_instances = 2 }
  ingest = { max_instances = 2 }
  record = { max_instances = 2 }
  query  = { max_instances = 2 }
}

# 2 × 5 three times, 2 × 10, 7 for jobs, 12 to spare.
run "just_enough_connections" {
  command = plan
  assert {
    condition     = local.connections.tally == 69
    error_message = "Expected 69 connections at most."
  }
}

run "one_instance_too_many" {
  command = plan
  variables {
    record = { max_instances = 3 }
  }
  expect_failures = [google_sql_database_instance.tally]
}

run "a_replica_takes_over_the_connections_of_query" {
  command = plan
  variables {
    record  = { max_instances = 3 }
    replica = { tier = "db-custom-1-3840" }
  }
  assert {
    condition     = local.connections == { tally = 54, replica = 32 }
    error_message = "Expected query's connections at the replica."
  }
}

run "a_replica_has_a_limit_too" {
  command = plan
  variables {
    query   = { max_instances = 6 }
    replica = { tier = "db-custom-1-3840" }
  }
  expect_failures = [google_sql_database_instance.replica]
}

run "malformed_values" {
  command = plan
  variables {
    project               = "Example Project"
    region                = "europe-west1-b"
    image                 = "tally"
    serving_image         = "tally:latest"
    domain                = "https://usage.example.com/"
    log_level             = "LOUD"
    rollup_schedule       = "every minute"
    subnet_range          = "10.0.0.0/27"
    images_kept           = 1
    raw_retention_days    = 1.5
    query_timeout_seconds = 60
    token_ttl_seconds     = 301
    armor                 = { requests_per_minute = 0 }
    characters_per_token  = { gigachat = 0 }
    admin                 = { max_instances = 0 }
    ingest                = { max_instances = 1, min_instances = 2 }
    record                = { max_instances = 0 }
    query                 = { max_instances = 1, min_instances = -1 }
  }
  expect_failures = [
    var.project,
    var.region,
    var.image,
    var.serving_image,
    var.domain,
    var.log_level,
    var.rollup_schedule,
    var.subnet_range,
    var.images_kept,
    var.raw_retention_days,
    var.query_timeout_seconds,
    var.token_ttl_seconds,
    var.armor,
    var.admin,
    var.characters_per_token,
    var.ingest,
    var.record,
    var.query,
  ]
}

run "everybody_is_no_member" {
  command = plan
  variables {
    domain      = "usage.example.com"
    iap_members = ["allUsers"]
  }
  expect_failures = [var.iap_members]
}

run "a_sign_in_needs_a_load_balancer" {
  command = plan
  variables {
    iap_members = ["user:ann@example.com"]
  }
  expect_failures = [var.iap_members]
}

run "a_database_that_tally_is_not_tested_with" {
  command = plan
  variables {
    database = {
      tier             = "db-custom-1-3840"
      regional         = false
      disk_limit_gb    = 50
      max_connections  = 69
      retained_backups = 7
      version          = "POSTGRES_14"
    }
  }
  expect_failures = [var.database]
}

run "a_disk_larger_than_its_limit" {
  command = plan
  variables {
    database = {
      tier             = "db-custom-1-3840"
      regional         = false
      disk_gb          = 51
      disk_limit_gb    = 50
      max_connections  = 69
      retained_backups = 7
    }
  }
  expect_failures = [var.database]
}
