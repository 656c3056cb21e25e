"""make rollback, destroy, logs, smoke and token, dry runs and interruptions."""

import hashlib
import re
import signal

import pytest

from tests.deploy.harness import PROJECT, Outcome, Place
from tests.support.waiting import eventually


def tag_of(place: Place) -> str:
    return str(place.cloud["outputs"]["serving_image"]).rsplit(":", 1)[1]


def release(place: Place, text: str) -> str:
    """Deploys other code; the tag."""
    place.write("shared/tally.py", text)
    assert place.deploy().status == 0
    return tag_of(place)


def rollback(place: Place, *options: str) -> Outcome:
    return place.run("rollback.sh", f"PROJECT={PROJECT}", "YES=1", *options)


def test_a_rollback_gives_the_services_the_release_before_and_leaves_the_migration(place: Place) -> None:
    first, second = release(place, "1"), release(place, "2")
    outcome = rollback(place)
    assert outcome.status == 0
    (plan,) = outcome.of(f"terraform -chdir={place.project}/terraform plan")
    assert re.findall(r"-var=(\w+)=\S+:(\w+)", plan) == [("image", second), ("serving_image", first)]
    assert outcome.of("gcloud run jobs execute tally-migrate") == []
    assert f"Rolled back to {first}. The database keeps its schema" in outcome.said
    assert len(outcome.of("tally smoke")) == 1
    assert place.left_over() == []


def test_rollbacks_go_further_back_each_time_until_there_is_none(place: Place) -> None:
    first, second, _ = release(place, "1"), release(place, "2"), release(place, "3")
    assert rollback(place).status == 0
    assert tag_of(place) == second
    assert rollback(place).status == 0
    assert tag_of(place) == first
    outcome = rollback(place)
    assert outcome.status == 1
    assert "There is no release before this one in shop-usage." in outcome.said
    assert tag_of(place) == first


def test_a_deploy_after_a_rollback_comes_forward_again(place: Place) -> None:
    _, second = release(place, "1"), release(place, "2")
    assert rollback(place).status == 0
    outcome = place.deploy()
    assert outcome.status == 0
    assert tag_of(place) == second
    assert outcome.of("gcloud builds submit") == []


def test_a_rollback_after_a_deploy_that_failed_sets_back_what_serves(place: Place) -> None:
    release(place, "1")
    second = release(place, "2")
    place.fault("tally smoke", after=0)
    place.write("shared/tally.py", "3")
    assert place.deploy().status == 1
    place.cloud["faults"] = []
    assert tag_of(place) != second
    assert rollback(place).status == 0
    assert tag_of(place) == second


def test_a_rollback_applies_the_variables_that_were_deployed_not_those_of_the_folder(place: Place) -> None:
    place.write("shared/tally.py", "1")
    assert place.deploy("ENVIRONMENT=production").status == 0
    release(place, "2")
    place.write("terraform/environments/production.tfvars", 'tier = "not deployed yet"\n')
    assert rollback(place).status == 0
    assert place.cloud["outputs"]["variables"] == 'tier = "large"'


def test_a_rollback_to_a_tag_needs_its_image(place: Place) -> None:
    first, _, third = release(place, "1"), release(place, "2"), release(place, "3")
    assert rollback(place, f"TO={first}").status == 0
    assert tag_of(place) == first
    gone = rollback(place, "TO=0123456789abcdef")
    assert gone.status == 1
    assert "The registry has no image europe-west1-docker.pkg.dev/shop-usage/tally/tally:0123456789abcdef" in gone.said
    there = rollback(place, f"TO={first}")
    assert there.status == 1
    assert f"The services run {first} already." in there.said
    assert third in place.cloud["outputs"]["image"]


def test_a_rollback_asks(place: Place) -> None:
    release(place, "1")
    second = release(place, "2")
    outcome = place.run("rollback.sh", f"PROJECT={PROJECT}", answer="n\n")
    assert outcome.status == 1
    assert tag_of(place) == second


@pytest.mark.parametrize("script", ["rollback.sh", "destroy.sh", "token.sh", "smoke.sh"])
def test_where_nothing_is_deployed_that_is_said(place: Place, script: str) -> None:
    more = ["NAME=shop", "SCOPES=read"] if script == "token.sh" else []
    outcome = place.run(script, f"PROJECT={PROJECT}", *more)
    assert outcome.status == 1
    assert f"Tally is not deployed in {PROJECT}" in outcome.said


def test_destroy_wants_the_name_of_the_project(place: Place) -> None:
    place.already_deployed()
    for answer in ("", "yes\n", "shop-usag\n"):
        outcome = place.run("destroy.sh", f"PROJECT={PROJECT}", answer=answer)
        assert outcome.status == 1
        assert outcome.said.endswith("That is not shop-usage. Nothing was removed.\n")
        assert place.cloud["outputs"] != {}
    outcome = place.run("destroy.sh", f"PROJECT={PROJECT}", answer="shop-usage\n")
    assert outcome.status == 0
    assert place.cloud["outputs"] == {}
    assert "gcloud storage rm --recursive gs://shop-usage-tally-terraform" in outcome.said


def test_destroy_removes_nothing_where_anything_is_protected(place: Place) -> None:
    place.already_deployed()
    place.cloud["protected"] = True
    outcome = place.run("destroy.sh", f"PROJECT={PROJECT}", answer="shop-usage\n")
    assert outcome.status == 1
    assert "google_sql_database_instance.tally" in outcome.said
    assert "deletion_protection = false" in outcome.said
    assert outcome.of(f"terraform -chdir={place.project}/terraform plan") == []
    assert place.cloud["outputs"] != {}


def test_destroy_takes_no_yes_from_the_command_line(place: Place) -> None:
    place.already_deployed()
    outcome = place.run("destroy.sh", f"PROJECT={PROJECT}", "YES=1", answer="shop-usage\n")
    assert outcome.status == 2


def test_a_token_is_made_here_and_only_its_hash_goes_to_the_cloud(place: Place) -> None:
    place.already_deployed()
    outcome = place.run("token.sh", f"PROJECT={PROJECT}", "NAME=shop, north", "SCOPES=ingest,read", "ORGANIZATION=acme")
    assert outcome.status == 0
    secret = outcome.out.strip()
    assert re.fullmatch(r"tly_[\w-]{43}", secret)
    known = hashlib.sha256(secret.encode()).hexdigest()
    assert outcome.commands[-1] == (
        "gcloud run jobs execute tally-command --project=shop-usage --region=europe-west1 "
        "--args=^|^tokens|create|--name|shop, north|--scope|ingest|--scope|read|--organization|acme"
        f"|--token-hash|{known} --wait"
    )
    assert secret not in outcome.said
    assert secret not in "\n".join(outcome.commands)


def test_a_token_that_was_not_registered_is_not_shown(place: Place) -> None:
    place.already_deployed()
    place.fault("gcloud run jobs execute tally-command", err="ERROR: The execution failed.\n")
    place.fault(
        "gcloud logging read",
        status=0,
        out='[{"timestamp":"2026-11-25T06:00:02Z","severity":"ERROR","textPayload":"tally: unknown scope reed",'
        '"resource":{"labels":{"job_name":"tally-command"}}}]',
    )
    outcome = place.run("token.sh", f"PROJECT={PROJECT}", "NAME=shop", "SCOPES=reed")
    assert outcome.status == 1
    assert outcome.out == ""
    assert "tally: unknown scope reed" in outcome.said


def test_a_name_cannot_smuggle_in_an_argument(place: Place) -> None:
    place.already_deployed()
    outcome = place.run("token.sh", f"PROJECT={PROJECT}", "NAME=shop|--scope|admin", "SCOPES=read")
    assert outcome.status == 1
    assert outcome.of("gcloud run jobs") == []


def test_smoke_of_a_deployment_asks_its_addresses_with_a_token_of_its_own(place: Place) -> None:
    place.already_deployed()
    outcome = place.run("smoke.sh", f"PROJECT={PROJECT}")
    assert outcome.status == 0
    assert outcome.commands[-1] == (
        "tally smoke --url https://tally-ingest.run.app --query-url https://tally-query.run.app"
    )
    assert "--organization|tally-smoke|--expires|" in outcome.commands[-2]


def test_smoke_of_an_address_uses_the_token_that_it_is_given(place: Place) -> None:
    url = "http://127.0.0.1:8080"
    assert place.run("smoke.sh", f"URL={url}").status == 2
    outcome = place.run("smoke.sh", f"URL={url}", environment={"SMOKE_TOKEN": "tly_given"})
    assert outcome.status == 0
    assert outcome.commands == [f"tally smoke --url {url} --query-url {url}"]
    assert outcome.calls[0]["smoke_token"] == "tly_given"


def test_logs_of_a_function_are_lines_oldest_first_without_what_was_asked_for(place: Place) -> None:
    place.fault(
        "gcloud logging read",
        status=0,
        out='[{"timestamp":"2026-11-25T06:00:03Z","severity":"INFO",'
        '"resource":{"labels":{"service_name":"tally-query"}},'
        '"httpRequest":{"requestMethod":"GET","requestUrl":"https://x.run.app/v1/usage?user_id=ann","status":200,'
        '"latency":"0.012s"}},'
        '{"timestamp":"2026-11-25T06:00:02Z","severity":"ERROR","resource":{"labels":{"service_name":"tally-query"}},'
        '"jsonPayload":{"message":"failed","function":"query","exception":"Traceback\\n  line"}}]',
    )
    outcome = place.run("logs.sh", f"PROJECT={PROJECT}", "FUNCTION=query", "SINCE=30m")
    assert outcome.status == 0
    assert outcome.out == (
        "2026-11-25T06:00:02Z ERROR   tally-query failed\nTraceback\n  line\n"
        "2026-11-25T06:00:03Z INFO    tally-query GET https://x.run.app/v1/usage 200 0.012s\n"
    )
    (command,) = outcome.commands
    assert command == (
        'gcloud logging read resource.type="cloud_run_revision" AND resource.labels.service_name="tally-query" '
        "--project=shop-usage --freshness=30m --limit=1000 --order=desc --format=json"
    )
    assert place.run("logs.sh", f"PROJECT={PROJECT}", "FUNCTION=nothing").status == 2
    assert place.run("logs.sh", f"PROJECT={PROJECT}", "SINCE=yesterday").status == 2


@pytest.mark.parametrize(
    "command",
    [
        ["deploy.sh", "REGION=europe-west1"],
        ["deploy.sh", "plan", "REGION=europe-west1"],
        ["rollback.sh"],
        ["destroy.sh"],
        ["logs.sh"],
        ["smoke.sh"],
        ["token.sh", "NAME=shop", "SCOPES=read"],
    ],
    ids=" ".join,
)
def test_a_dry_run_prints_every_command_runs_none_and_makes_no_secret(place: Place, command: list[str]) -> None:
    place.already_deployed()
    outcome = place.run(*command, f"PROJECT={PROJECT}", "DRY_RUN=1")
    assert outcome.status == 0
    assert [command for command in outcome.commands if command != "terraform version -json"] == []
    assert "    gcloud " in outcome.said
    assert not re.search(r"tly_|ya29|[0-9a-f]{64}", outcome.said + outcome.out)
    assert place.left_over() == []


def test_a_dry_run_of_a_first_deploy_prints_what_a_first_deploy_runs(place: Place) -> None:
    place.cloud["apis"] = []
    real = place.deployed()
    outcome = place.run("deploy.sh", f"PROJECT={PROJECT}", "REGION=europe-west1", "DRY_RUN=1")
    shown = [line.strip() for line in outcome.said.splitlines() if line.startswith("    ")]
    run = [
        command.replace(f"{place.project}/", "")
        for command in real.commands
        if not command.startswith(("terraform version", "gcloud config config-helper"))
    ]
    assert [beginning(line) for line in shown] == [beginning(line) for line in run]


def beginning(command: str) -> str:
    """A command up to its options, without paths of temporary files, times and what is known once it is deployed."""
    command = re.sub(r"^(GOOGLE_OAUTH_ACCESS_TOKEN|SMOKE_TOKEN)=TOKEN ", "", command)
    command = re.sub(r"""'?(/\S+/tally-deploy\.\w+|\(temporary\))/(\w+)\S*""", r"\2", command)
    command = re.sub(r"releases/\d{8}T\d{6}\.\d{6}Z", "releases/STAMP", command)
    return re.split(r" '?--?(?!chdir)", command)[0]


def test_an_interruption_says_what_was_reached_and_leaves_nothing_behind(place: Place) -> None:
    migrating_now, told = place.folder / "migrating_now", place.folder / "told"
    migrating = place.tools / "gcloud"
    real = migrating.read_text()
    hook = 'if sys.argv[1:5] == ["run", "jobs", "execute", "tally-migrate"]:\n'
    hook += f'    open({str(migrating_now)!r}, "w").close()\n'
    hook += f"    import time\n    while not os.path.exists({str(told)!r}):\n        time.sleep(0.01)\n"
    migrating.write_text(
        real.replace('if __name__ == "__main__":\n', f'import os, sys\n{hook}if __name__ == "__main__":\n')
    )
    process = place.start("deploy.sh", f"PROJECT={PROJECT}", "REGION=europe-west1", "YES=1")
    eventually(lambda: migrating_now.exists() or process.poll() is not None, "the migration")
    process.send_signal(signal.SIGTERM)
    told.touch()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Interrupted." in said
    assert "Stopped in the step: Migrate the database (job tally-migrate)." in said
    assert "Terraform: the job tally-migrate gets the new image; \n" in said
    assert place.calls()[-1]["command"].startswith("gcloud run jobs execute tally-migrate")
    assert place.left_over() == []


@pytest.mark.parametrize("script", ["deploy.sh", "rollback.sh", "destroy.sh", "logs.sh", "smoke.sh", "token.sh"])
def test_help_explains_every_option(place: Place, script: str) -> None:
    outcome = place.run(script, "--help")
    assert outcome.status == 0
    (known,) = re.findall(r"^options '(.*)' ", (place.project / "deploy" / script).read_text(), re.MULTILINE)
    for option in known.split():
        assert re.search(rf"\b{option}=", outcome.out), option
