"""Stands in for gcloud, terraform, curl and tally: notes each call, and answers from a small made-up cloud.

Called by the name of what it stands in for. STANDIN_CLOUD is a JSON file:
    outputs      Terraform's outputs as they were applied, name to value
    images       tags that the registry has
    domain       a domain of one's own, if any
    protected    whether the database is protected against deletion
    objects      names in the state bucket, to their text; no key "bucket" means that there is no bucket
    apis         enabled APIs
    lacking      permissions that the caller lacks
    services     name of a service, to [created, ready, why it is not]
    faults       [{"call": how the command begins, "after": how many go well, "exit": …, "out": …, "err": …}]
STANDIN_CALLS gets a line of JSON for each call. Formats of the answers are those of the real programs.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ACCESS_TOKEN = "ya29.not-for-a-command-line"

Cloud = dict[str, Any]


def main() -> int:
    program, arguments = Path(sys.argv[0]).name, sys.argv[1:]
    stdin = sys.stdin.read() if program == "curl" else ""
    command = " ".join([program, *arguments])
    call = {
        "command": command,
        "access_token": "GOOGLE_OAUTH_ACCESS_TOKEN" in os.environ,
        "smoke_token": os.environ.get("SMOKE_TOKEN", ""),
        "stdin": stdin,
    }
    with Path(os.environ["STANDIN_CALLS"]).open("a") as calls:
        calls.write(json.dumps(call) + "\n")
    path = Path(os.environ["STANDIN_CLOUD"])
    cloud: Cloud = json.loads(path.read_text())
    for fault in cloud["faults"]:
        if command.startswith(fault["call"]):
            fault["after"] -= 1
            path.write_text(json.dumps(cloud))
            if fault["after"] >= 0:
                continue
            sys.stdout.write(fault.get("out", ""))
            sys.stderr.write(fault.get("err", ""))
            return int(fault["exit"])
    status = _PROGRAMS[program](cloud, arguments)
    path.write_text(json.dumps(cloud))
    return status


def gcloud(cloud: Cloud, arguments: list[str]) -> int:
    words = " ".join(argument for argument in arguments if not argument.startswith("--"))
    for beginning, answer in _GCLOUD.items():
        if words.startswith(beginning):
            return answer(cloud, arguments)
    return _refuse(f"ERROR: (gcloud) the stand-in does not know: {words}")


def curl(cloud: Cloud, arguments: list[str]) -> int:
    asked = json.loads(Path(_value(arguments, "--data").removeprefix("@")).read_text())["permissions"]
    _say(json.dumps({"permissions": [name for name in asked if name not in cloud["lacking"]]}))
    return 0


def terraform(cloud: Cloud, arguments: list[str]) -> int:
    command, *rest = [argument for argument in arguments if not argument.startswith("-chdir=")]
    if command == "version":
        _say(json.dumps({"terraform_version": "1.11.4", "platform": "linux_amd64", "provider_selections": {}}))
    elif command == "output":
        _say(json.dumps({name: {"sensitive": False, "value": value} for name, value in cloud["outputs"].items()}))
    elif command == "show":
        instance = {
            "address": "google_sql_database_instance.tally",
            "values": {"deletion_protection": cloud.get("protected", False)},
        }
        _say(json.dumps({"format_version": "1.0", "values": {"root_module": {"resources": [instance]}}}))
    elif command == "plan":
        wanted = _planned(cloud, rest)
        Path(_option(rest, "-out")).write_text(json.dumps(wanted))
        _say("Terraform will perform the following actions: …")
        return 0 if wanted == cloud["outputs"] else 2
    elif command == "apply":
        cloud["outputs"] = json.loads(Path(rest[-1]).read_text())
        _say("Apply complete!")
    return 0


def _planned(cloud: Cloud, arguments: list[str]) -> dict[str, Any]:
    if "-destroy" in arguments:
        return {}
    given = dict(a.removeprefix("-var=").split("=", 1) for a in arguments if a.startswith("-var="))
    project, region = given["project"], given["region"]
    return {
        "admin_url": "https://tally-admin.run.app" if "serving_image" in given else None,
        "build_service_account": f"tally-build@{project}.iam.gserviceaccount.com",
        "image": given.get("image"),
        "image_repository": f"{region}-docker.pkg.dev/{project}/tally",
        "ingest_url": "https://tally-ingest.run.app" if "serving_image" in given else None,
        "load_balancer_ip": "203.0.113.7" if "domain" in cloud else None,
        "query_url": "https://tally-query.run.app" if "serving_image" in given else None,
        "region": region,
        "serving_image": given.get("serving_image"),
        "url": cloud.get("domain"),
        "variables": Path(_option(arguments, "-var-file")).read_text().splitlines()[-1],
    }


def tally(_cloud: Cloud, _arguments: list[str]) -> int:
    _say("Smoke test: 3 events sent, 3 counted.")
    return 0


def _services_enable(cloud: Cloud, arguments: list[str]) -> int:
    cloud["apis"] += [argument for argument in arguments if argument.endswith(".googleapis.com")]
    return 0


def _create_bucket(cloud: Cloud, _arguments: list[str]) -> int:
    cloud["bucket"] = ""
    return 0


def _update_bucket(cloud: Cloud, _arguments: list[str]) -> int:
    cloud["bucket"] = "True"
    return 0


def _list_buckets(cloud: Cloud, arguments: list[str]) -> int:
    if "bucket" in cloud:
        _say(f"{_option(arguments, '--filter').removeprefix('name=')}\t{cloud['bucket']}")
    return 0


def _cat(cloud: Cloud, arguments: list[str]) -> int:
    name = _object(arguments[-1])
    if name not in cloud["objects"]:
        return _refuse("ERROR: (gcloud.storage.cat) The following URLs matched no objects or files:\n-" + arguments[-1])
    sys.stdout.write(cloud["objects"][name])
    return 0


def _copy(cloud: Cloud, arguments: list[str]) -> int:
    cloud["objects"][_object(arguments[-1])] = Path(arguments[-2]).read_text()
    return 0


def _list_objects(cloud: Cloud, arguments: list[str]) -> int:
    prefix = _object(arguments[-1])
    bucket = arguments[-1].removesuffix(prefix)
    found = [f"{bucket}{name}" for name in sorted(cloud["objects"]) if name.startswith(prefix)]
    if not found:
        return _refuse("ERROR: (gcloud.storage.ls) One or more URLs matched no objects.")
    _say("\n".join(found))
    return 0


def _describe_image(cloud: Cloud, arguments: list[str]) -> int:
    if arguments[4].rsplit(":", 1)[1] not in cloud["images"]:
        return _refuse(
            "ERROR: (gcloud.artifacts.docker.images.describe) Image not found.\n\nA valid image can be referenced by …"
        )
    _say("sha256:0123")
    return 0


def _build(cloud: Cloud, arguments: list[str]) -> int:
    image = _option(arguments, "--substitutions").split(",")[0]
    cloud["images"].append(image.rsplit(":", 1)[1])
    context = Path(arguments[2])
    cloud["built_from"] = {
        str(file.relative_to(context)): f"{file.stat().st_mode & 0o777:o}"
        for file in sorted(context.rglob("*"))
        if file.is_file()
    }
    return 0


def _describe_service(cloud: Cloud, arguments: list[str]) -> int:
    name = arguments[3]
    created, ready, why = cloud["services"].get(name, [f"{name}-00002-new", f"{name}-00002-new", ""])
    failed = {"status": "False", "reason": "HealthCheckContainerFailed", "message": why}
    good = {"status": "True"}
    status = {
        "conditions": [
            {"type": "Ready", **(failed if why else good)},
            {"type": "ConfigurationsReady", **(failed if why else good)},
            {"type": "RoutesReady", **good},
        ],
        "latestCreatedRevisionName": created,
        "traffic": [{"latestRevision": True, "percent": 100, "revisionName": ready}],
    }
    if ready:
        status["latestReadyRevisionName"] = ready
    _say(json.dumps({"apiVersion": "serving.knative.dev/v1", "kind": "Service", "status": status}))
    return 0


def _always(text: str) -> Callable[[Cloud, list[str]], int]:
    def answer(_cloud: Cloud, _arguments: list[str]) -> int:
        _say(text)
        return 0

    return answer


def _apis(cloud: Cloud, _arguments: list[str]) -> int:
    _say("\n".join(cloud["apis"]))
    return 0


_GCLOUD: dict[str, Callable[[Cloud, list[str]], int]] = {
    "artifacts docker images describe": _describe_image,
    "auth list": _always("ann@example.com"),
    "billing projects describe": _always("True"),
    "builds list": _always("4f0c"),
    "builds submit": _build,
    "config config-helper": _always(ACCESS_TOKEN),
    "logging read": _always("[]"),
    "projects describe": _always("ACTIVE"),
    "run jobs describe": _always("tally-migrate-x7k2p"),
    "run jobs execute": _always(""),
    "run regions list": _always("europe-west1\nus-central1"),
    "run services describe": _describe_service,
    "services enable": _services_enable,
    "services list": _apis,
    "storage buckets create": _create_bucket,
    "storage buckets list": _list_buckets,
    "storage buckets update": _update_bucket,
    "storage cat": _cat,
    "storage cp": _copy,
    "storage ls": _list_objects,
}
_PROGRAMS: dict[str, Callable[[Cloud, list[str]], int]] = {
    "gcloud": gcloud,
    "curl": curl,
    "terraform": terraform,
    "tally": tally,
}


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _option(arguments: list[str], name: str) -> str:
    return next(a.removeprefix(f"{name}=") for a in arguments if a.startswith(f"{name}="))


def _value(arguments: list[str], name: str) -> str:
    return arguments[arguments.index(name) + 1]


def _object(url: str) -> str:
    return url.removeprefix("gs://").split("/", 1)[1]


def _refuse(text: str) -> int:
    sys.stderr.write(text + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
