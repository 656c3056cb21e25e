"""Runs Terraform on a copy of the configuration, with a state of its own and without the cloud.

Providers come from what `TF_CLI_CONFIG_FILE` says, where that is set; else from the folder `TERRAFORM_GOOGLE_SCHEMA`,
whose `setup` makes providers that know the schema and nothing else; else from the registry. Nothing is applied, so
either will do.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.terraform.reads import ROOT

IMAGE = "europe-west1-docker.pkg.dev/example-project/tally/tally:0123456789abcdef"
# What a deploy gives besides the file.
_GIVEN = {"project": "example-project", "region": "europe-west1", "image": IMAGE, "serving_image": IMAGE}
_LOCAL = 'terraform {\n  backend "local" {}\n}\n'


class TerraformMissing(Exception):
    """There is no Terraform here, or it gets no provider."""


class Terraform:
    """An initialized copy of `terraform/` in a folder."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("terraform") is None:
            raise TerraformMissing("terraform is not installed")
        self._folder = folder / "terraform"
        self._environment = {**os.environ, **_providers(), "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
        self._environment["TF_DATA_DIR"] = str(folder / "data")
        # The checksums of a lock file are those of the registry's providers.
        left_out = shutil.ignore_patterns(".terraform", ".terraform.lock.hcl", "*.tfstate*", "*.tfplan")
        shutil.copytree(ROOT / "terraform", self._folder, ignore=left_out)
        (self._folder / "local_override.tf").write_text(_LOCAL)
        done = self.run("init", "-no-color", "-input=false")
        if done.returncode:
            raise TerraformMissing(f"terraform init: {' '.join(done.stderr.partition('Error: ')[2].split())}")

    def run(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """A command of Terraform, with `given` on its standard input."""
        return subprocess.run(
            ["terraform", *arguments],
            cwd=self._folder,
            env=self._environment,
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )

    def value(self, expression: str) -> Any:
        """What an expression is worth."""
        asked = self.run("console", "-var-file=tests/everything.tfvars", given=f"jsonencode({expression})")
        assert asked.returncode == 0, asked.stderr
        return json.loads(json.loads(asked.stdout))

    def plan(self, variables: str, *options: str) -> "Plan":
        """What would be made in an empty project with the variables of a file."""
        path = self._folder / f"{'-'.join([Path(variables).stem, *options])}.tfplan"
        given = [f"-var={name}={value}" for name, value in _GIVEN.items()]
        done = self.run(
            "plan",
            "-no-color",
            "-input=false",
            "-lock=false",
            f"-var-file={variables}",
            *given,
            f"-out={path}",
            *options,
        )
        assert done.returncode == 0, done.stderr
        assert "undeclared variable" not in done.stdout, done.stdout
        shown = self.run("show", "-json", str(path))
        assert shown.returncode == 0, shown.stderr
        return Plan(json.loads(shown.stdout))


class Plan:
    """The resources that a plan makes, and its outputs as far as they are known."""

    def __init__(self, plan: Mapping[str, Any]) -> None:
        planned = plan["planned_values"]
        self.resources = list(_resources(planned["root_module"]))
        self.outputs = {name: output.get("value") for name, output in planned.get("outputs", {}).items()}

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        """The values of all resources of a type, by address. What is known after an apply only is left out."""
        return {one["address"]: one["values"] for one in self.resources if one["type"] == kind}

    def environments(self) -> dict[str, dict[str, str]]:
        """The environment of each function, by its name, of services and jobs alike."""
        services = {one["name"]: one["template"][0] for one in self.of("google_cloud_run_v2_service").values()}
        jobs = {one["name"]: one["template"][0]["template"][0] for one in self.of("google_cloud_run_v2_job").values()}
        return {
            name.removeprefix("tally-"): {
                variable["name"]: variable["value"] for variable in template["containers"][0]["env"]
            }
            for name, template in {**services, **jobs}.items()
        }


def _resources(module: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield from module.get("resources", ())
    for child in module.get("child_modules", ()):
        yield from _resources(child)


def _providers() -> dict[str, str]:
    configured = os.environ.get("TF_CLI_CONFIG_FILE")
    if configured is not None and Path(configured).is_file():
        return {}
    schemas = os.environ.get("TERRAFORM_GOOGLE_SCHEMA")
    if schemas is None:
        return {}
    made = subprocess.run([f"{schemas}/setup"], capture_output=True, text=True, check=False)
    found = re.search(r"^export TF_CLI_CONFIG_FILE=(.+)$", made.stdout, re.MULTILINE)
    if made.returncode or found is None:
        raise TerraformMissing(f"{schemas}/setup: {made.stderr}")
    return {"TF_CLI_CONFIG_FILE": found[1]}
