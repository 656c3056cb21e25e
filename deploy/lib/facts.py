"""What the deploy scripts read out of the JSON of gcloud and Terraform, and a new secret. Standard library only.

Each command reads standard input and prints lines for bash to take in.
"""

import base64
import hashlib
import json
import secrets
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

_LONGEST_LINE = 2000


def output(name: str) -> None:
    """The value of one of Terraform's outputs; nothing where there is none, or it is null."""
    value = json.load(sys.stdin).get(name, {}).get("value")
    _say("" if value is None else str(value))


def terraform_is_at_least(least: str) -> None:
    """The version that `terraform version -json` gives, and whether it is `least` or newer: "1.5.7 no"."""
    version = str(json.load(sys.stdin)["terraform_version"])
    new_enough = _numbers(version) >= _numbers(least)
    _say(f"{version} {'yes' if new_enough else 'no'}")


def permissions(path: str) -> None:
    """The body of a question for the permissions that the file lists."""
    _say(json.dumps({"permissions": [permission for permission, _ in _needed(path)]}))


def missing_permissions(path: str) -> None:
    """Which of the file's permissions the answer lacks, each with the file's role; or "! why it did not answer"."""
    text = sys.stdin.read()
    try:
        answer = json.loads(text)
    except ValueError:
        _say(f"! the answer was no JSON: {text[:200]}")
        return
    if "error" in answer:
        _say(f"! {answer['error'].get('message', answer['error'])}")
        return
    granted = set(answer.get("permissions", []))
    for permission, role in _needed(path):
        if permission not in granted:
            _say(f"{permission} {role}")


def readiness() -> None:
    """A Cloud Run service: its latest created revision, its latest ready one, then why the first is not ready.

    Three lines; the second is "-" where no revision was ever ready, the third empty where the latest one is ready.
    """
    status = json.load(sys.stdin).get("status", {})
    created = status.get("latestCreatedRevisionName", "-")
    ready = status.get("latestReadyRevisionName", "-")
    conditions = {condition.get("type"): condition for condition in status.get("conditions", [])}
    condition = conditions.get("ConfigurationsReady", {})
    if condition.get("status") != "False":
        condition = conditions.get("Ready", {})
    good = created == ready and conditions.get("Ready", {}).get("status") == "True"
    why = "" if good else " ".join(condition.get("message", "it is not ready yet").split())
    _say(created, ready, why)


def log_lines() -> None:
    """Entries of Cloud Logging as lines, oldest first: time, severity, who, message, then what else was said."""
    entries = json.load(sys.stdin)
    for entry in sorted(entries, key=lambda entry: str(entry.get("timestamp", ""))):
        _say(_log_line(entry))


def protected() -> None:
    """Addresses of what the state of `terraform show -json` protects against deletion."""
    modules = [json.load(sys.stdin).get("values", {}).get("root_module", {})]
    for module in modules:
        modules.extend(module.get("child_modules", []))
        for resource in module.get("resources", []):
            if resource.get("values", {}).get("deletion_protection") is True:
                _say(resource["address"])


def stack() -> None:
    """The releases that stand, oldest first, from the names of the notes: "…/20300131T120000.000000Z_deploy_TAG".

    A deploy puts one on top; a rollback takes off what was above the one that it went back to.
    """
    standing: list[str] = []
    for note in sorted(line.strip().rsplit("/", 1)[-1] for line in sys.stdin if line.strip()):
        _, kind, tag = note.split("_", 2)
        if kind == "rollback" and tag in standing:
            while standing[-1] != tag:
                standing.pop()
        elif not standing or standing[-1] != tag:
            standing.append(tag)
    _say(*standing)


def new_token() -> None:
    """A new secret in the form of Tally's own, and the SHA-256 by which it is known."""
    secret = "tly_" + base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()
    _say(secret, hashlib.sha256(secret.encode()).hexdigest())


def in_minutes(minutes: str) -> None:
    """The time so many minutes from now."""
    _say((datetime.now(UTC) + timedelta(minutes=int(minutes))).isoformat(timespec="seconds"))


def stamp() -> None:
    """Now, as names that sort by time have it."""
    _say(datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ"))


def _needed(path: str) -> list[tuple[str, str]]:
    with open(path, encoding="utf-8") as lines:  # noqa: PTH123 - a path as bash has it
        found = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    return [(permission, role) for permission, role in found]


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split("-", 1)[0].split(".")]


def _log_line(entry: dict[str, Any]) -> str:
    labels = entry.get("resource", {}).get("labels", {})
    who = labels.get("service_name") or labels.get("job_name") or labels.get("build_id", "")
    said = dict(entry.get("jsonPayload") or {})
    for known in ("timestamp", "severity", "function"):
        said.pop(known, None)
    message = said.pop("message", None) or entry.get("textPayload") or _request(entry) or entry.get("protoPayload", {})
    trace = said.pop("exception", None)
    parts = [
        str(entry.get("timestamp", ""))[:19] + "Z",
        str(entry.get("severity", "DEFAULT")).ljust(7),
        who,
        str(message).rstrip(),
        *(f"{name}={value}" for name, value in said.items()),
    ]
    line = " ".join(part for part in parts if part)[:_LONGEST_LINE]
    return f"{line}\n{trace}" if trace else line


def _request(entry: dict[str, Any]) -> str:
    request = entry.get("httpRequest") or {}
    if not request:
        return ""
    path = str(request.get("requestUrl", "")).split("?", 1)[0]  # what is asked for may name people
    return f"{request.get('requestMethod', '')} {path} {request.get('status', '')} {request.get('latency', '')}".strip()


def _say(*lines: str) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)


_COMMANDS: dict[str, Callable[..., None]] = {
    "output": output,
    "terraform-is-at-least": terraform_is_at_least,
    "permissions": permissions,
    "missing-permissions": missing_permissions,
    "readiness": readiness,
    "log-lines": log_lines,
    "protected": protected,
    "stack": stack,
    "stamp": stamp,
    "new-token": new_token,
    "in-minutes": in_minutes,
}

if __name__ == "__main__":
    _COMMANDS[sys.argv[1]](*sys.argv[2:])
