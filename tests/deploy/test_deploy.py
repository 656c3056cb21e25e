"""make deploy and make plan: what is run, in which order, and what is said when something fails."""

import re

import pytest

from tests.deploy.harness import PROJECT, ROOT, Outcome, Place
from tests.deploy.standin import ACCESS_TOKEN

BUCKET = "gs://shop-usage-tally-terraform"
IMAGE = "europe-west1-docker.pkg.dev/shop-usage/tally/tally:TAG"
CACHE = "europe-west1-docker.pkg.dev/shop-usage/tally/cache:TAG"
PLAN = (
    "terraform plan -input=false -detailed-exitcode -out=WORK/plan -var-file=terraform/environments/small.tfvars "
    "-var=project=shop-usage -var=region=europe-west1"
)
APPLY = "terraform apply -input=false WORK/plan"
JOB = "gcloud run jobs execute {} --project=shop-usage --region=europe-west1"
SERVICE = "gcloud run services describe tally-{} --project=shop-usage --region=europe-west1 --format=json"

FIRST_DEPLOY = f"""
terraform version -json
gcloud auth list --filter=status:ACTIVE --format=value(account)
gcloud projects describe shop-usage --format=value(lifecycleState)
gcloud billing projects describe shop-usage --format=value(billingEnabled)
curl --silent --show-error --max-time 30 --header Content-Type: application/json --data @WORK/question \
https://cloudresourcemanager.googleapis.com/v1/projects/shop-usage:testIamPermissions --config -
gcloud services list --enabled --project=shop-usage --format=value(config.name)
gcloud services enable cloudresourcemanager.googleapis.com iam.googleapis.com run.googleapis.com \
serviceusage.googleapis.com --project=shop-usage
gcloud run regions list --project=shop-usage --format=value(locationId)
gcloud storage buckets list --project=shop-usage --filter=name=shop-usage-tally-terraform \
--format=value(name,versioning_enabled)
gcloud storage buckets create {BUCKET} --project=shop-usage --location=europe-west1 --uniform-bucket-level-access \
--public-access-prevention
gcloud storage buckets update {BUCKET} --versioning
gcloud storage cat {BUCKET}/variables.tfvars
terraform init -input=false -reconfigure -backend-config=bucket=shop-usage-tally-terraform
terraform output -json
gcloud storage ls {BUCKET}/releases/
{PLAN}
gcloud storage cp WORK/variables.tfvars {BUCKET}/variables.tfvars
{APPLY}
terraform output -json
gcloud artifacts docker images describe {IMAGE} --format=value(image_summary.digest)
gcloud builds submit WORK/context --project=shop-usage --region=europe-west1 --config=deploy/cloudbuild.yaml \
--service-account=projects/shop-usage/serviceAccounts/tally-build@shop-usage.iam.gserviceaccount.com \
--gcs-source-staging-dir=gs://shop-usage-tally-build/source --suppress-logs \
--substitutions=_IMAGE={IMAGE},_CACHE_TO={CACHE},_CACHE_FROM={CACHE}
{PLAN} -var=image={IMAGE}
{APPLY}
{JOB.format("tally-migrate")} --wait
{PLAN} -var=image={IMAGE} -var=serving_image={IMAGE}
{APPLY}
{SERVICE.format("ingest")}
{SERVICE.format("record")}
{SERVICE.format("query")}
{SERVICE.format("admin")}
terraform output -json
{JOB.format("tally-command")} --args=^|^tokens|create|--name|smoke test|--scope|ingest|--scope|read\
|--organization|tally-smoke|--expires|TIME|--token-hash|HASH --wait
tally smoke --url https://tally-ingest.run.app --query-url https://tally-query.run.app
{JOB.format("tally-command")} --args=^|^tokens|create|--name|first admin|--scope|admin|--token-hash|HASH --wait
gcloud storage cp WORK/note {BUCKET}/releases/STAMP_deploy_TAG
"""

CHANGING = ("gcloud services enable", "gcloud storage buckets create", "gcloud storage buckets update",
            "gcloud storage cp", "gcloud builds submit", "gcloud run jobs execute", "terraform apply")  # fmt: skip


def plain(place: Place, outcome: Outcome) -> list[str]:
    """The commands without what differs from run to run, and without asking gcloud for Terraform's sign-in."""
    text = "\n".join(outcome.commands)
    text = re.sub(re.escape(str(place.temporary)) + r"/tally-deploy\.\w+", "WORK", text)
    text = text.replace(f"-chdir={place.project}/terraform ", "").replace(f"{place.project}/", "")
    text = re.sub(r"\b[0-9a-f]{64}\b", "HASH", text)
    text = re.sub(r"(?<=[:_])[0-9a-f]{16}\b", "TAG", text)
    text = re.sub(r"\b\d{8}T\d{6}\.\d{6}Z", "STAMP", text)
    text = re.sub(r"--expires\|[^|]+", "--expires|TIME", text)
    return [line for line in text.splitlines() if not line.startswith("gcloud config config-helper")]


def changes(place: Place, outcome: Outcome) -> list[str]:
    return [command for command in plain(place, outcome) if command.startswith(CHANGING)]


def tag_of(place: Place) -> str:
    return str(place.cloud["outputs"]["serving_image"]).rsplit(":", 1)[1]


def test_a_first_deploy_runs_these_commands_in_this_order(place: Place) -> None:
    outcome = place.deployed()
    assert plain(place, outcome) == FIRST_DEPLOY.strip().splitlines()
    for function in ("ingest", "query", "admin"):
        assert f" https://tally-{function}.run.app" in outcome.said
    assert place.left_over() == []


def test_the_steps_of_a_first_deploy_are_those_of_the_document(place: Place) -> None:
    said = re.findall(r"^==> (.*)$", place.deployed().said, re.MULTILINE)
    document = (ROOT / "docs" / "deploy.md").read_text()
    table = document.split("| step | what happens |\n| --- | --- |\n")[1].split("\n\n")[0]
    steps = [line.split(" | ")[0].removeprefix("| ").replace("`", "") for line in table.splitlines()]
    assert len(said) == len(steps)
    for line, step in zip(said, steps, strict=True):
        assert line.startswith(step)


def test_the_image_is_built_from_what_dockerignore_lets_in_and_nothing_else(place: Place) -> None:
    (place.project / "shared/tally.py").chmod(0o600)  # modes of one machine's umask do not get into the image
    place.write(".env", "SECRET=1")
    place.write("shared/__pycache__/tally.cpython-311.pyc", "")
    place.deployed()
    assert place.cloud["built_from"] == {
        ".dockerignore": "644",
        "Dockerfile": "644",
        "entry.sh": "755",
        "shared/tally.py": "644",
    }


def test_a_first_deploy_shows_an_admin_token_once_on_standard_output_alone(place: Place) -> None:
    outcome = place.deployed()
    assert re.fullmatch(r"tly_[\w-]{43}\n", outcome.out)
    again = place.deploy()
    assert again.out == ""


def test_no_secret_is_on_a_command_line_in_the_output_or_in_a_file(place: Place) -> None:
    outcome = place.deployed()
    smoke_token = next(call["smoke_token"] for call in outcome.calls if call["command"].startswith("tally smoke"))
    assert re.fullmatch(r"tly_[\w-]{43}", smoke_token)
    secrets = [ACCESS_TOKEN, smoke_token, outcome.out.strip()]
    for secret in secrets:
        assert secret not in "\n".join(outcome.commands)
        assert secret not in outcome.said
        for file in place.project.rglob("*"):
            assert not file.is_file() or secret not in file.read_text()
    assert smoke_token not in outcome.out
    question = next(call for call in outcome.calls if call["command"].startswith("curl"))
    assert question["stdin"] == f'header = "Authorization: Bearer {ACCESS_TOKEN}"\n'


def test_terraform_is_signed_in_for_each_command_and_nothing_else_gets_that_token(place: Place) -> None:
    outcome = place.deployed()
    for number, call in enumerate(outcome.calls):
        is_terraform = call["command"].startswith("terraform -chdir")
        assert call["access_token"] == is_terraform, call["command"]
        if is_terraform:
            assert outcome.commands[number - 1].startswith("gcloud config config-helper --min-expiry")


def test_services_keep_the_old_image_until_the_migration_is_through(place: Place) -> None:
    place.already_deployed()
    old = tag_of(place)
    place.write("shared/tally.py", "print('newer')\n")
    outcome = place.deploy()
    new = tag_of(place)
    assert outcome.status == 0
    assert new != old
    plans = outcome.of(f"terraform -chdir={place.project}/terraform plan")
    images = [re.findall(r"-(var=image|var=serving_image|target)=(?:\S+:)?(\S+)", plan) for plan in plans]
    everything = [("var=image", new), ("var=serving_image", new)]
    migrate_alone = [("var=image", new), ("var=serving_image", old), ("target", "module.migrate")]
    assert images == [everything, migrate_alone, everything]
    assert [re.split(r" -| gs:", command)[0] for command in changes(place, outcome)] == [
        "gcloud storage cp WORK/variables.tfvars",
        "gcloud builds submit WORK/context",
        "terraform apply",
        "gcloud run jobs execute tally-migrate",
        "terraform apply",
        "gcloud run jobs execute tally-command",
        "gcloud storage cp WORK/note",
    ]
    assert outcome.out == ""


def test_an_image_is_built_with_the_cache_of_the_one_before(place: Place) -> None:
    place.already_deployed()
    old = tag_of(place)
    place.write("shared/tally.py", "print('newer')\n")
    outcome = place.deploy()
    (build,) = outcome.of("gcloud builds submit")
    assert build.endswith(f"_CACHE_FROM=europe-west1-docker.pkg.dev/shop-usage/tally/cache:{old}")


def test_a_second_run_changes_nothing_and_says_so(place: Place) -> None:
    place.already_deployed()
    before = dict(place.cloud)
    outcome = place.deploy()
    assert outcome.status == 0
    assert changes(place, outcome) == []
    assert place.cloud == before
    assert f"Nothing to do: shop-usage runs {tag_of(place)}" in outcome.said


def test_a_change_of_variables_alone_builds_nothing(place: Place) -> None:
    place.already_deployed()
    place.write("terraform/environments/small.tfvars", 'tier = "a little larger"\n')
    outcome = place.deploy()
    assert outcome.status == 0
    assert outcome.of("gcloud builds submit") == []
    assert place.cloud["outputs"]["variables"] == 'tier = "a little larger"'


def test_a_later_deploy_uses_the_variables_of_the_last_one(place: Place) -> None:
    assert place.deploy("ENVIRONMENT=production").status == 0
    place.write("shared/tally.py", "print('newer')\n")
    outcome = place.deploy()
    assert "Variables as at the last deploy: ENVIRONMENT=production" in outcome.said
    assert place.cloud["outputs"]["variables"] == 'tier = "large"'
    own = place.write("own.tfvars", 'tier = "own"\n')
    assert place.deploy(f"VARS={own}").status == 0
    assert place.cloud["outputs"]["variables"] == 'tier = "own"'
    own.unlink()
    lost = place.deploy()
    assert lost.status == 1
    assert f"there is no file {own}" in lost.said


def test_plan_asks_nothing_and_makes_nothing_but_what_terraform_needs_to_plan(place: Place) -> None:
    outcome = place.run("deploy.sh", "plan", f"PROJECT={PROJECT}", "REGION=europe-west1")
    assert outcome.status == 0
    assert [change.split(" --")[0] for change in changes(place, outcome)] == [
        "gcloud services enable " + " ".join(place.cloud["apis"][1:]),
        f"gcloud storage buckets create {BUCKET}",
        f"gcloud storage buckets update {BUCKET}",
    ]
    assert "Terraform will perform the following actions" in outcome.said


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_without_a_yes_nothing_is_deployed(place: Place, answer: str) -> None:
    outcome = place.run("deploy.sh", f"PROJECT={PROJECT}", "REGION=europe-west1", answer=answer)
    assert outcome.status == 1
    assert outcome.said.endswith("Nothing was changed.\n")
    assert outcome.of(f"terraform -chdir={place.project}/terraform apply") == []
    assert place.cloud["objects"] == {}


def test_a_first_deploy_asks_once(place: Place) -> None:
    outcome = place.run("deploy.sh", f"PROJECT={PROJECT}", "REGION=europe-west1", answer="y\n")
    assert outcome.status == 0
    assert outcome.said.count("[y/N]") == 1
    assert outcome.said.index("Terraform will perform") < outcome.said.index("[y/N]")


def test_a_failed_migration_leaves_the_services_alone_and_shows_its_reason(place: Place) -> None:
    place.already_deployed()
    old = tag_of(place)
    place.write("shared/tally.py", "print('newer')\n")
    place.fault(
        "gcloud run jobs execute tally-migrate",
        err="ERROR: (gcloud.run.jobs.execute) The execution failed.\n",
    )
    place.fault(
        "gcloud logging read",
        status=0,
        out='[{"timestamp":"2026-11-25T06:00:02.5Z","severity":"ERROR","textPayload":"Container called exit(1).",'
        '"resource":{"labels":{"job_name":"tally-migrate"}}},'
        '{"timestamp":"2026-11-25T06:00:01.5Z","severity":"ERROR","resource":{"labels":{"job_name":"tally-migrate"}},'
        '"jsonPayload":{"message":"lock timeout","function":"migrate","migration":"0005"}}]',
    )
    outcome = place.deploy()
    assert outcome.status == 1
    assert place.cloud["outputs"]["serving_image"].endswith(old)
    assert len(outcome.of(f"terraform -chdir={place.project}/terraform apply")) == 1
    (asked,) = outcome.of("gcloud logging read")
    assert 'labels."run.googleapis.com/execution_name"="tally-migrate-x7k2p"' in asked
    assert (
        "The job tally-migrate failed. What it said (execution tally-migrate-x7k2p):\n"
        "2026-11-25T06:00:01Z ERROR   tally-migrate lock timeout migration=0005\n"
        "2026-11-25T06:00:02Z ERROR   tally-migrate Container called exit(1).\n"
        "The services were not touched."
    ) in outcome.said
    assert outcome.commands[-1].startswith("gcloud logging read")


def failing_probe(place: Place, ready: str) -> Outcome:
    why = (
        "Revision 'tally-record-00007-bad' is not ready and cannot serve traffic. The user-provided container failed "
        "the configured startup probe checks.\n\nLogs URL: https://console"
    )
    place.cloud["services"]["tally-record"] = ["tally-record-00007-bad", ready, why]
    place.fault(
        "gcloud logging read",
        status=0,
        out='[{"timestamp":"2026-11-25T06:00:02Z","severity":"ERROR","textPayload":"needs migration 0009",'
        '"resource":{"labels":{"service_name":"tally-record"}}}]',
    )
    return place.deploy()


def test_a_failing_probe_is_told_with_its_reason_and_what_still_serves(place: Place) -> None:
    place.already_deployed()
    place.write("shared/tally.py", "print('newer')\n")
    outcome = failing_probe(place, "tally-record-00006-old")
    assert outcome.status == 1
    assert "tally-ingest: tally-ingest-00002-new serves." in outcome.said
    assert (
        "tally-record: tally-record-00007-bad is not ready; tally-record-00006-old still serves.\n"
        "  Revision 'tally-record-00007-bad' is not ready and cannot serve traffic. The user-provided container failed "
        "the configured startup probe checks. Logs URL: https://console\n"
        "  2026-11-25T06:00:02Z ERROR   tally-record needs migration 0009\n"
    ) in outcome.said
    assert "Traffic stays with what served before. make rollback" in outcome.said
    (asked,) = outcome.of("gcloud logging read")
    assert 'resource.labels.revision_name="tally-record-00007-bad" AND severity>=ERROR' in asked
    assert outcome.of("tally smoke") == []
    assert sorted(place.cloud["objects"])[-1] == "variables.tfvars"
    assert len(place.cloud["objects"]) == 2  # that, and the first release: this one is not noted


def test_terraform_failing_at_the_services_is_no_success_even_where_they_are_ready(place: Place) -> None:
    place.already_deployed()
    place.write("shared/tally.py", "print('newer')\n")
    place.fault(f"terraform -chdir={place.project}/terraform apply", after=1, err="Error: quota\n")
    outcome = place.deploy()
    assert outcome.status == 1
    assert "Error: quota" in outcome.said
    assert "The services did not all take the new image" in outcome.said
    assert outcome.of("tally smoke") == []


def test_a_job_that_did_not_get_the_new_image_does_not_migrate(place: Place) -> None:
    place.already_deployed()
    place.write("shared/tally.py", "print('newer')\n")
    place.fault(f"terraform -chdir={place.project}/terraform apply", err="Error: quota\n")
    outcome = place.deploy()
    assert outcome.status == 1
    assert "Stopped in the step: Terraform: the job tally-migrate gets the new image." in outcome.said
    assert outcome.of("gcloud run jobs execute") == []


def test_after_a_failing_probe_another_run_does_not_take_it_for_deployed(place: Place) -> None:
    place.already_deployed()
    place.write("shared/tally.py", "print('newer')\n")
    failing_probe(place, "tally-record-00006-old")
    outcome = place.deploy()
    assert outcome.status == 1
    assert "Nothing to do" not in outcome.said
    assert "tally-record-00006-old still serves" in outcome.said


def test_a_first_deploy_whose_probe_fails_says_that_nothing_serves(place: Place) -> None:
    outcome = failing_probe(place, "")
    assert outcome.status == 1
    assert "tally-record-00007-bad is not ready, and there is none before it: it does not serve." in outcome.said
    assert "rollback" not in outcome.said


def test_a_failed_smoke_test_fails_the_deploy_and_notes_no_release(place: Place) -> None:
    place.already_deployed()
    place.write("shared/tally.py", "print('newer')\n")
    place.fault("tally smoke", err="tally: 3 events sent, 2 counted\n")
    outcome = place.deploy()
    assert outcome.status == 1
    assert "3 events sent, 2 counted" in outcome.said
    assert "make rollback goes back to the release before" in outcome.said
    assert len([name for name in place.cloud["objects"] if name.startswith("releases/")]) == 1


def test_a_failed_build_shows_the_end_of_its_log(place: Place) -> None:
    place.fault("gcloud builds submit", err='ERROR: build 4f0c completed with status "FAILURE"\n')
    place.fault(
        "gcloud logging read",
        status=0,
        out='[{"timestamp":"2026-11-25T06:00:02Z","textPayload":"Step #1: COPY failed",'
        '"resource":{"labels":{"build_id":"4f0c"}}}]',
    )
    outcome = place.deploy()
    assert outcome.status == 1
    assert "2026-11-25T06:00:02Z DEFAULT 4f0c Step #1: COPY failed" in outcome.said
    assert outcome.of("gcloud run jobs execute") == []


def test_who_comes_second_is_told_of_the_lock(place: Place) -> None:
    place.fault(
        f"terraform -chdir={place.project}/terraform plan",
        err="Error: Error acquiring the state lock\n\nLock Info:\n  Who: ann@laptop\n",
    )
    outcome = place.deploy()
    assert outcome.status == 1
    assert "Who: ann@laptop" in outcome.said
    assert "Somebody else changes this deployment at the moment" in outcome.said


def test_a_deployment_does_not_move_to_another_region(place: Place) -> None:
    place.already_deployed()
    outcome = place.run("deploy.sh", f"PROJECT={PROJECT}", "REGION=us-central1", "YES=1")
    assert outcome.status == 1
    assert "Tally runs in europe-west1 in this project" in outcome.said
    assert changes(place, outcome) == []


def test_the_custom_domain_is_what_the_smoke_test_asks(place: Place) -> None:
    place.cloud["domain"] = "https://usage.example.com"
    outcome = place.deployed()
    assert outcome.of("tally smoke") == [
        "tally smoke --url https://usage.example.com --query-url https://usage.example.com"
    ]
    assert "An A record has to send the domain of https://usage.example.com to 203.0.113.7." in outcome.said
