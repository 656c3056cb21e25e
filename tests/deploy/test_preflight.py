"""What is missing is told at once, with its remedy, before anything is changed."""

import re

from tests.deploy.harness import PROJECT, Outcome, Place


def refused(outcome: Outcome) -> str:
    """What was said, of a run that changed nothing."""
    assert outcome.status == 1
    assert re.search("^Nothing was changed.", outcome.said, re.MULTILINE)
    assert outcome.of("terraform -chdir") == []
    assert [command for command in outcome.of("gcloud") if "enable" in command or "create" in command] == []
    return outcome.said


def test_every_missing_permission_is_named_with_a_role_that_has_it(place: Place) -> None:
    place.cloud["lacking"] = ["run.jobs.runWithOverrides", "pubsub.topics.create", "pubsub.topics.setIamPolicy"]
    assert refused(place.deploy()).endswith(
        "Nothing was changed. 1 to put right first:\n"
        "  1. ann@example.com lacks in shop-usage:\n"
        "       pubsub.topics.create\n"
        "       pubsub.topics.setIamPolicy\n"
        "       run.jobs.runWithOverrides\n"
        "     -> for each ROLE of roles/pubsub.admin roles/run.admin:\n"
        "        gcloud projects add-iam-policy-binding shop-usage --member=user:ann@example.com --condition=None "
        "--role=ROLE\n"
    )


def test_a_service_account_is_given_roles_as_one(place: Place) -> None:
    place.cloud["lacking"] = ["storage.buckets.create"]
    place.fault("gcloud auth list", status=0, out="ci@shop-usage.iam.gserviceaccount.com\n")
    assert "--member=serviceAccount:ci@shop-usage.iam.gserviceaccount.com" in refused(place.deploy())


def test_permissions_that_could_not_be_asked_are_not_taken_for_granted(place: Place) -> None:
    place.fault("curl", status=0, out='{"error": {"code": 403, "message": "API is disabled", "status": "DENIED"}}')
    assert "What ann@example.com may do in shop-usage could not be asked: API is disabled" in refused(place.deploy())


def test_a_question_for_permissions_without_an_answer_is_told(place: Place) -> None:
    place.fault("curl", status=6, err="curl: (6) Could not resolve host\n")
    said = refused(place.deploy())
    assert "curl: (6) Could not resolve host" in said
    assert "could not be asked: the question got no answer" in said


def test_all_tools_that_are_missing_are_named(place: Place) -> None:
    for name in ("gcloud", "terraform", "curl", "tally"):
        (place.tools / name).unlink()
    said = refused(place.deploy())
    assert "Nothing was changed. 4 to put right first:" in said
    assert "gcloud (Google Cloud SDK) is not installed.\n     -> https://cloud.google.com/sdk/docs/install" in said
    assert "terraform is not installed (1.9.0 or newer)." in said
    assert "curl is not installed." in said
    assert "tally, which runs the smoke test, is not installed." in said


def test_an_old_terraform_is_refused(place: Place) -> None:
    place.fault("terraform version", status=0, out='{"terraform_version": "1.5.7"}')
    assert "terraform 1.9.0 or newer is needed; 1.5.7 is installed." in refused(place.deploy())


def test_a_newer_terraform_is_taken_whatever_its_number_of_digits(place: Place) -> None:
    place.fault("terraform version", status=0, out='{"terraform_version": "1.14.0-rc1"}')
    place.deployed()


def test_an_old_python_is_refused(place: Place) -> None:
    python = place.write("python", "#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    assert "Python 3.11 or newer is needed" in refused(place.deploy(environment={"PYTHON": str(python)}))


def test_who_is_not_signed_in_is_told_how(place: Place) -> None:
    place.fault("gcloud auth list", status=0)
    said = refused(place.deploy())
    assert "1 to put right first:\n  1. Nobody is signed in to gcloud.\n     -> gcloud auth login\n" in said


def test_a_project_that_is_not_there_is_told(place: Place) -> None:
    place.fault("gcloud projects describe", err="ERROR: (gcloud.projects.describe) not found\n")
    said = refused(place.deploy())
    assert "There is no project shop-usage that ann@example.com may see." in said
    assert "gcloud projects create shop-usage" in said


def test_a_project_that_is_being_deleted_is_told(place: Place) -> None:
    place.fault("gcloud projects describe", status=0, out="DELETE_REQUESTED\n")
    assert "gcloud projects undelete shop-usage" in refused(place.deploy())


def test_a_project_without_billing_is_told(place: Place) -> None:
    place.fault("gcloud billing projects describe", status=0, out="False\n")
    assert "gcloud billing projects link shop-usage --billing-account=ACCOUNT_ID" in refused(place.deploy())


def test_everything_that_is_wrong_is_told_at_once(place: Place) -> None:
    place.fault("terraform version", status=0, out='{"terraform_version": "1.5.7"}')
    place.fault("gcloud billing projects describe", status=0, out="False\n")
    place.cloud["lacking"] = ["run.services.create"]
    outcome = place.run("deploy.sh", f"PROJECT={PROJECT}", "REGION=europe-west1-b", "YES=1")
    said = refused(outcome)
    assert "4 to put right first:" in said
    assert "'europe-west1-b' is no region." in said


def test_a_region_that_cloud_run_does_not_have_is_refused_before_anything_is_made_there(place: Place) -> None:
    outcome = place.run("deploy.sh", f"PROJECT={PROJECT}", "REGION=europe-west99", "YES=1")
    assert outcome.status == 1
    assert "Cloud Run has no region europe-west99; it has: europe-west1 us-central1" in outcome.said
    assert outcome.of("gcloud storage") == []


def test_a_bucket_of_that_name_in_another_project_is_not_used(place: Place) -> None:
    place.fault("gcloud storage buckets create", err="ERROR: HTTPError 409: The requested bucket name is taken.\n")
    outcome = place.deploy()
    assert outcome.status == 1
    assert outcome.commands[-1].startswith("gcloud storage buckets create")


def test_versions_of_the_state_are_kept_even_where_the_bucket_was_made_without(place: Place) -> None:
    place.cloud["bucket"] = "False"
    outcome = place.deployed()
    assert outcome.of("gcloud storage buckets create") == []
    assert len(outcome.of("gcloud storage buckets update")) == 1


def test_options_that_do_not_exist_or_make_no_sense_are_refused(place: Place) -> None:
    for options, message in (
        ([], "give PROJECT=… "),
        ([f"PROJECT={PROJECT}"], "give REGION=… "),
        (["PROJECT=Shop Usage", "REGION=europe-west1"], "is no project id"),
        ([f"PROJECT={PROJECT}", "REGION=europe-west1", "TO=x"], "there is no option TO here"),
        ([f"PROJECT={PROJECT}", "REGION=europe-west1", "DRY_RUN=true"], "DRY_RUN is 1, or not given"),
        (["now"], "expected NAME=value, not 'now'"),
    ):
        outcome = place.run("deploy.sh", *options)
        assert outcome.status == 2
        assert message in outcome.said
        assert outcome.calls == []


def test_options_are_not_taken_from_the_environment(place: Place) -> None:
    outcome = place.run("deploy.sh", environment={"PROJECT": PROJECT, "REGION": "europe-west1", "YES": "1"})
    assert outcome.status == 2
    assert outcome.calls == []
