"""The Terraform fits the code, gives nobody more than is needed, and passes its own tests.

Where there is no Terraform, or no way to a provider, the tests are skipped, but not in CI.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tally import cli, settings
from tally.routes import FUNCTION_BY_PREFIX
from tests.terraform.reads import ROOT, pool_size, variables_read
from tests.terraform.runs import IMAGE, Plan, Terraform, TerraformMissing

VARIABLES = {
    "small": "environments/small.tfvars",
    "production": "environments/production.tfvars",
    "everything": "tests/everything.tfvars",
}
DEPLOYED = ("small", "production")
SERVICES = ("admin", "ingest", "query", "record")
PUBSUB = "Pub/Sub"  # its own account in the project

Grant = tuple[str, str, str]


@pytest.fixture(scope="session")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    try:
        return Terraform(tmp_path_factory.mktemp("terraform"))
    except TerraformMissing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def own_tests(terraform: Terraform) -> Iterator[Future[CompletedProcess[str]]]:
    """`terraform test`, whose runs give what differs from the small set-up. It takes longest: beside other tests."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(terraform.run, "test", "-no-color", f"-var-file={VARIABLES['small']}")


@pytest.fixture(scope="session")
def plans(terraform: Terraform, own_tests: object) -> Mapping[str, Plan]:  # noqa: ARG001 - starts them
    return {name: terraform.plan(file) for name, file in VARIABLES.items()}


@pytest.fixture(params=VARIABLES)
def plan(plans: Mapping[str, Plan], request: pytest.FixtureRequest) -> Plan:
    return plans[request.param]


@pytest.fixture
def everything(plans: Mapping[str, Plan]) -> Plan:
    """With every optional part."""
    return plans["everything"]


def test_it_is_formatted(terraform: Terraform) -> None:
    done = terraform.run("fmt", "-no-color", "-check", "-diff", "-recursive")
    assert done.returncode == 0, done.stdout


def test_lines_are_as_long_as_in_the_code() -> None:
    files = [path for suffix in ("tf", "tfvars", "hcl") for path in (ROOT / "terraform").rglob(f"*.{suffix}")]
    assert files
    assert [str(path) for path in files if any(len(line) > 120 for line in path.read_text("utf-8").splitlines())] == []


def test_it_is_valid(terraform: Terraform) -> None:
    done = terraform.run("validate", "-no-color")
    assert done.returncode == 0, done.stderr


def test_its_own_tests_pass(own_tests: Future[CompletedProcess[str]]) -> None:
    done = own_tests.result()
    assert done.returncode == 0, done.stdout + done.stderr


# --- Settings ---------------------------------------------------------------------------------------------------------

# Read by `tally serve`, which starts the function that it names.
SERVED = {"TALLY_FUNCTION"}
# A function reads these only where the others do not say it: on one machine.
ELSEWHERE = {
    "TALLY_DATABASE_URL": "TALLY_CLOUD_SQL_INSTANCE",
    "TALLY_RECORD_URL": "TALLY_TOPIC",
}
# Never here: webhooks of a deployment go to public addresses.
LOCAL = {"TALLY_PRIVATE_WEBHOOKS"}
DATABASE = {"TALLY_CLOUD_SQL_INSTANCE", "TALLY_DATABASE_NAME", "TALLY_DATABASE_USER"}


@pytest.mark.parametrize("function", ["ingest", "record", "query", "admin", "migrate", "rollup"])
def test_a_function_is_given_every_setting_that_it_reads_and_no_other(plan: Plan, function: str) -> None:
    given = set(plan.environments()[function])
    served = SERVED if function in SERVICES else set()
    read = variables_read(ROOT / "functions" / function / "main.py")
    assert {there for here, there in ELSEWHERE.items() if here in read} <= given
    assert given == (read - set(ELSEWHERE) - LOCAL) | served


def test_every_value_is_one_that_the_code_takes(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    for given in plan.environments().values():
        with monkeypatch.context() as inside:
            for name, value in given.items():
                inside.setenv(name, value)
            settings.read()


def test_the_job_command_is_given_its_database_only(plan: Plan) -> None:
    """The command can do much else; its database user may do what admin may, and has no use for other settings."""
    given = set(plan.environments()["command"])
    assert given == DATABASE
    assert given <= variables_read(Path(cli.__file__))


def test_each_function_signs_in_to_the_database_as_its_own_account(plan: Plan) -> None:
    accounts = {"command": "admin", "migrate": "owner", "rollup": "owner", **{name: name for name in SERVICES}}
    users = {name: given["TALLY_DATABASE_USER"] for name, given in plan.environments().items()}
    assert users == {name: f"tally-{account}@example-project.iam" for name, account in accounts.items()}
    assert {user["name"] for user in plan.of("google_sql_user").values()} == set(users.values())


def test_migrate_is_told_whom_to_grant_what(plan: Plan) -> None:
    environments = plan.environments()
    users = json.loads(environments["migrate"]["TALLY_DATABASE_USERS"])
    assert users == {name: environments[name]["TALLY_DATABASE_USER"] for name in SERVICES}


def test_what_is_applied_before_the_migration_is_its_job_and_every_database_user_and_no_service(
    terraform: Terraform,
) -> None:
    before = terraform.plan(VARIABLES["everything"], "-target=module.migrate")
    assert set(before.environments()) == {"migrate"}
    assert len(before.of("google_sql_user")) == len(SERVICES) + 1
    assert before.outputs["image"] == IMAGE
    assert "serving_image" not in before.outputs


def test_pools_are_counted_as_large_as_they_are(terraform: Terraform) -> None:
    sources = {name: ROOT / "functions" / name / "main.py" for name in SERVICES}
    sources |= {name: ROOT / "shared" / "tally" / f"{name}.py" for name in ("migrate", "rollup")}
    pools = {name: pool_size(source) for name, source in sources.items()}
    assert terraform.value("local.pools") == {**pools, "command": 1}


# --- Access -----------------------------------------------------------------------------------------------------------

# Who may do what, and where: all that the project gives anybody. Whoever adds to it reads it through.
GRANTS: set[Grant] = {
    ("tally-ingest", "roles/pubsub.publisher", "topic usage-events"),
    ("tally-owner", "roles/pubsub.publisher", "topic usage-notifications"),
    ("tally-push", "roles/run.invoker", "service tally-record"),
    ("tally-scheduler", "roles/run.invoker", "job tally-rollup"),
    ("tally-build", "roles/artifactregistry.writer", "repository tally"),
    ("tally-build", "roles/storage.objectViewer", "bucket example-project-tally-build"),
    ("tally-build", "roles/logging.logWriter", "project"),
    (PUBSUB, "roles/pubsub.publisher", "topic usage-events-dead-letters"),
    (PUBSUB, "roles/pubsub.subscriber", "subscription usage-events-record"),
    (PUBSUB, "roles/iam.serviceAccountOpenIdTokenCreator", "account tally-push"),
    *(
        (f"tally-{account}", f"roles/cloudsql.{role}", "instance tally")
        for account in (*SERVICES, "owner")
        for role in ("client", "instanceUser")
    ),
}
# Of the optional parts. query then connects to the replica, instead.
OPTIONAL_GRANTS: set[Grant] = {
    (PUBSUB, "roles/bigquery.dataEditor", "table tally.usage_events"),
    (PUBSUB, "roles/pubsub.publisher", "topic usage-events-warehouse-dead-letters"),
    (PUBSUB, "roles/pubsub.subscriber", "subscription usage-events-warehouse"),
    ("group:team@example.com", "roles/iap.httpsResourceAccessor", "backend tally-pages"),
    ("tally-query", "roles/cloudsql.client", "instance tally-replica"),
    ("tally-query", "roles/cloudsql.instanceUser", "instance tally-replica"),
}
INSTEAD = {grant for grant in GRANTS if grant[0] == "tally-query"}


def _grants(plan: Plan) -> set[Grant]:
    return {_grant(one["type"], one["values"]) for one in plan.resources if "_iam_" in one["type"]}


def _grant(kind: str, values: Mapping[str, Any]) -> Grant:
    places = {
        "google_artifact_registry_repository_iam_member": "repository {repository}",
        "google_bigquery_table_iam_member": "table {dataset_id}.{table_id}",
        "google_cloud_run_v2_job_iam_member": "job {name}",
        "google_cloud_run_v2_service_iam_member": "service {name}",
        "google_iap_web_backend_service_iam_member": "backend {web_backend_service}",
        "google_project_iam_member": "project",
        "google_pubsub_subscription_iam_member": "subscription {subscription}",
        "google_pubsub_topic_iam_member": "topic {topic}",
        "google_service_account_iam_member": "account {service_account_id}",
        "google_storage_bucket_iam_member": "bucket {bucket}",
    }
    # Any other type fails here: an authoritative policy or binding takes away what others gave.
    place = places[kind].format(**values).replace("projects/example-project/serviceAccounts/", "")
    for condition in values["condition"]:
        resource_type, name = (" ".join(part.split()) for part in condition["expression"].split("&&"))
        assert resource_type == 'resource.type == "sqladmin.googleapis.com/Instance"'
        instance = re.fullmatch(r'resource.name == "projects/example-project/instances/([^"]+)"', name)
        assert instance is not None
        place = f"instance {instance[1]}"
    return _short(values["member"]), values["role"], _short(place)


def _short(member: str) -> str:
    if member.endswith("@gcp-sa-pubsub.iam.gserviceaccount.com"):
        return PUBSUB
    return member.removeprefix("serviceAccount:").removesuffix("@example-project.iam.gserviceaccount.com")


@pytest.mark.parametrize("name", DEPLOYED)
def test_nobody_may_do_anything_else(plans: Mapping[str, Plan], name: str) -> None:
    assert _grants(plans[name]) == GRANTS


def test_optional_parts_add_no_more_than_they_need(everything: Plan) -> None:
    assert _grants(everything) == (GRANTS - INSTEAD) | OPTIONAL_GRANTS


def test_there_is_an_account_for_each_purpose(plan: Plan) -> None:
    accounts = {account["account_id"] for account in plan.of("google_service_account").values()}
    assert accounts == {f"tally-{name}" for name in (*SERVICES, "build", "owner", "push", "scheduler")}
    assert plan.of("google_service_account_key") == {}


def test_nothing_has_a_public_address_but_the_load_balancer(plan: Plan) -> None:
    for instance in plan.of("google_sql_database_instance").values():
        [address] = instance["settings"][0]["ip_configuration"]
        assert not address["ipv4_enabled"]
        assert not address["authorized_networks"]
    addresses = [one for one in plan.of("google_compute_global_address").values() if one["address_type"] != "INTERNAL"]
    assert len(addresses) == len(plan.of("google_compute_managed_ssl_certificate"))


def test_only_clients_reach_what_checks_tokens_and_only_pubsub_reaches_record(plan: Plan) -> None:
    behind = "INTERNAL_LOAD_BALANCER" if plan.of("google_compute_url_map") else "ALL"
    found = {
        service["name"]: (service["ingress"], service["invoker_iam_disabled"])
        for service in plan.of("google_cloud_run_v2_service").values()
    }
    assert found == {
        "tally-admin": (f"INGRESS_TRAFFIC_{behind}", True),
        "tally-ingest": (f"INGRESS_TRAFFIC_{behind}", True),
        "tally-query": (f"INGRESS_TRAFFIC_{behind}", True),
        "tally-record": ("INGRESS_TRAFFIC_INTERNAL_ONLY", False),
    }


def test_the_database_is_found_through_the_network_only(plan: Plan) -> None:
    rules = {rule["name"]: rule for rule in plan.of("google_compute_firewall").values()}
    assert {rule["direction"] for rule in rules.values()} == {"EGRESS"}
    [denied] = [rule for rule in rules.values() if rule["deny"]]
    assert denied["destination_ranges"] == ["0.0.0.0/0"]
    assert all(rule["priority"] < denied["priority"] for rule in rules.values() if rule["allow"])
    [allowed] = rules["tally-database"]["allow"]
    assert (allowed["protocol"], allowed["ports"]) == ("tcp", ["3307"])


# --- Routes -----------------------------------------------------------------------------------------------------------


def test_the_load_balancer_sends_each_path_where_the_code_says(everything: Plan) -> None:
    [paths] = [
        one["path_matcher"][0] for one in everything.of("google_compute_url_map").values() if one["path_matcher"]
    ]
    backends = {
        path: rule["service"].removeprefix("projects/example-project/global/backendServices/")
        for rule in paths["path_rule"]
        for path in rule["paths"]
    }
    pages = {"/docs"}  # served by query, behind a sign-in of their own
    expected = {
        path: "tally-pages" if prefix in pages else f"tally-{function}"
        for prefix, function in FUNCTION_BY_PREFIX.items()
        for path in (prefix, f"{prefix}/*")
    }
    assert backends == expected
    assert paths["default_service"].endswith("/tally-pages")


def test_everything_runs_the_image_that_it_is_given(plan: Plan) -> None:
    containers = [one["template"][0]["containers"][0] for one in plan.of("google_cloud_run_v2_service").values()]
    jobs = [one["template"][0]["template"][0]["containers"][0] for one in plan.of("google_cloud_run_v2_job").values()]
    assert {one["image"] for one in containers + jobs} == {IMAGE}
    commands = {tuple(job["command"]) for job in jobs}
    assert commands == {("python", "functions/migrate/main.py"), ("python", "functions/rollup/main.py"), ("tally",)}
    assert all((ROOT / command[1]).is_file() for command in commands if len(command) > 1)
