# One function as a service: the module by itself.
mock_provider "google" {}

variables {
  function    = "record"
  project     = "example-project"
  region      = "europe-west1"
  image       = "europe-west1-docker.pkg.dev/example-project/tally/tally:0123456789abcdef"
  ingress     = "INGRESS_TRAFFIC_INTERNAL_ONLY"
  invokers    = ["serviceAccount:tally-push@example-project.iam.gserviceaccount.com"]
  timeout     = 60
  network     = { network = "tally", subnetwork = "tally-run" }
  environment = { TALLY_LOG_LEVEL = "INFO" }
  bounds      = { concurrency = 64, cpu = "1", max_instances = 3, memory = "1Gi", min_instances = 0 }
}

run "a_function_runs_as_itself" {
  module { source = "./modules/service" }

  assert {
    condition = (
      google_cloud_run_v2_service.this[0].template[0].service_account
      == "tally-record@example-project.iam.gserviceaccount.com"
    )
    error_message = "Each function has an account of its own."
  }
  assert {
    condition = {
      for one in google_cloud_run_v2_service.this[0].template[0].containers[0].env : one.name => one.value
    } == { TALLY_FUNCTION = "record", TALLY_LOG_LEVEL = "INFO" }
    error_message = "It is told which function it is, and its settings."
  }
}

run "readiness_asks_the_database_and_liveness_does_not" {
  module { source = "./modules/service" }

  assert {
    condition = [
      for probe in ["startup_probe", "liveness_probe"] :
      google_cloud_run_v2_service.this[0].template[0].containers[0][probe][0].http_get[0].path
    ] == ["/health/ready", "/health/live"]
    error_message = "A revision without its schema must not take traffic, a slow database must not restart instances."
  }
}

run "all_revisions_together_stay_within_the_bounds" {
  module { source = "./modules/service" }

  assert {
    condition     = google_cloud_run_v2_service.this[0].scaling[0].max_instance_count == 3
    error_message = "The connections of the database are counted for a service, not for a revision."
  }
}

run "only_invokers_get_in_unless_it_is_public" {
  module { source = "./modules/service" }

  assert {
    condition     = !google_cloud_run_v2_service.this[0].invoker_iam_disabled
    error_message = "Cloud Run checks who calls."
  }
  assert {
    condition = {
      for member, grant in google_cloud_run_v2_service_iam_member.invoker : member => "${grant.role} ${grant.name}"
    } == { "serviceAccount:tally-push@example-project.iam.gserviceaccount.com" = "roles/run.invoker tally-record" }
    error_message = "Who is named may call it."
  }
}

run "without_an_image_there_is_the_account_only" {
  module { source = "./modules/service" }

  variables {
    image = null
  }
  assert {
    condition = (
      length(google_cloud_run_v2_service.this) == 0 && length(google_cloud_run_v2_service_iam_member.invoker) == 0
    )
    error_message = "There is nothing to run."
  }
  assert {
    condition     = google_service_account.this.account_id == "tally-record" && output.uri == null
    error_message = "The account is there for the database user."
  }
}
