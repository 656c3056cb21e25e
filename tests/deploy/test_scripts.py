"""The scripts themselves: lint, flags that gcloud knows, the image's tag, and make."""

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.harness import PROJECT, ROOT, Place

SCRIPTS = sorted((ROOT / "deploy").glob("*.sh"))
IN_CI = os.environ.get("CI") == "true"


def test_shellcheck_finds_nothing() -> None:
    shellcheck = shutil.which("shellcheck")
    if shellcheck is None:
        assert not IN_CI, "CI lacks shellcheck"
        pytest.skip("shellcheck is not installed")
    found = subprocess.run([shellcheck, "--check-sourced", *SCRIPTS], capture_output=True, text=True, check=False)
    assert found.stdout == ""
    assert found.returncode == 0


def known_to_gcloud() -> dict[str, Any]:
    """Every command and flag of the installed gcloud, as its own completion has them."""
    gcloud = shutil.which("gcloud")
    tree = Path(gcloud).resolve().parents[1] / "data/cli/gcloud_completions.py" if gcloud else None
    if tree is None or not tree.exists():
        assert not IN_CI, "CI lacks gcloud"
        pytest.skip("gcloud is not installed")
    spec = importlib.util.spec_from_file_location("gcloud_completions", tree)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, Any] = module.STATIC_COMPLETION_CLI_TREE
    return found


def test_gcloud_knows_every_command_and_flag_that_the_scripts_use(place: Place) -> None:
    tree = known_to_gcloud()
    place.deployed()
    dry_runs = [
        place.run("deploy.sh", f"PROJECT={PROJECT}", "REGION=europe-west1", "DRY_RUN=1"),
        *(place.run(script, f"PROJECT={PROJECT}", "DRY_RUN=1") for script in ("rollback.sh", "logs.sh", "destroy.sh")),
    ]
    used = {line.strip() for run in dry_runs for line in run.said.splitlines() if line.startswith("    gcloud ")}
    # What is only asked when something has failed.
    used |= set(re.findall(r"gcloud (?:builds list|run jobs describe) [^)]*", joined_lines()))
    assert len({" ".join(line.split()[:4]) for line in used}) > 15
    for line in used:
        words = re.findall(r"""(?:[^\s'"]|'[^']*'|"[^"]*")+""", line)[1:]
        node = tree
        while words and words[0] in node["commands"]:
            node = node["commands"][words.pop(0)]
        assert node["commands"] == {}, f"no such command: {line}"
        flags = {word.strip("\"'").split("=")[0] for word in words if word.strip("\"'").startswith("--")}
        everywhere = {"--project", "--format", "--filter", "--limit", "--sort-by"}
        assert flags - set(node["flags"]) - everywhere - set(tree["flags"]) == set(), line


def joined_lines() -> str:
    text = "\n".join(path.read_text() for path in (ROOT / "deploy/lib").glob("*.sh"))
    return text.replace("\\\n", " ")


def tag(place: Place) -> str:
    outcome = place.run("deploy.sh", "plan", f"PROJECT={PROJECT}", "REGION=europe-west1")
    (found,) = re.findall(r"^Image: \S+:([0-9a-f]{16})$", outcome.said, re.MULTILINE)
    return str(found)


def test_the_tag_follows_names_contents_and_what_may_be_executed_and_nothing_else(place: Place) -> None:
    at_first = tag(place)
    file = place.project / "shared/tally.py"
    os.utime(file, (0, 0))
    file.chmod(0o600)
    place.write("docs/other.md", "not in the image")
    assert tag(place) == at_first
    file.chmod(0o755)
    executable = tag(place)
    file.chmod(0o644)
    place.write("shared/tally.py", "print('other')\n")
    other = tag(place)
    file.rename(file.with_name("renamed.py"))
    renamed = tag(place)
    place.write("Dockerfile", "FROM other\n")
    assert len({at_first, executable, other, renamed, tag(place)}) == 5


def test_what_the_dockerfile_copies_makes_the_tag() -> None:
    let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    roots = {re.sub(r"/\*\*$", "", line).rstrip("/") for line in let_in}
    copied = [
        source
        for line in (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
        if line.startswith("COPY") and "--from" not in line
        for source in [word for word in line.split()[1:-1] if not word.startswith("--")]
    ]
    assert copied
    for source in copied:
        path = source.rstrip("/")
        assert any(path == root or path.startswith(f"{root}/") for root in roots), source
        assert (ROOT / path).exists()
    for root in roots:
        assert (ROOT / root).exists(), root


def test_nothing_needs_more_than_bash_3() -> None:
    for path in [*SCRIPTS, *(ROOT / "deploy/lib").glob("*.sh")]:
        text = path.read_text()
        newer = r"\b(mapfile|readarray|coproc)\b|declare -[Agn]|local -[Agn]|\$\{\w+(\^|,,|@)|\|&|&>>"
        assert not re.search(newer, text), path


def test_make_hands_on_what_it_is_given_and_nothing_of_the_environment() -> None:
    environment = {**os.environ, "NAME": "host", "YES": "1", "REGION": "us-central1"}
    shown = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "deploy", "PROJECT=shop-usage", "VARS=my own.tfvars"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert shown.rstrip().endswith("deploy/deploy.sh PROJECT='shop-usage' VARS='my own.tfvars'")
