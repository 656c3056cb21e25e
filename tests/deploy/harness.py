"""Runs the deploy scripts against stand-ins, in a project of a few files, with a PATH of their own."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PROJECT = "shop-usage"
REGION = "europe-west1"
STAND_INS = ("gcloud", "terraform", "curl", "tally")
# All that the scripts may use besides what they ask for; macOS has these, but shasum for sha256sum.
ORDINARY = (
    "basename", "bash", "cat", "chmod", "cp", "cut", "dirname", "env", "find", "grep", "head", "mkdir", "mktemp", "rm",
    "sed", "sha256sum", "sort", "tail", "tee", "tr",
)  # fmt: skip
_ONCE: list[str] = []  # the cloud after a first deploy of the files below


@dataclass
class Outcome:
    """What a run of a script did."""

    status: int
    out: str
    said: str
    calls: list[dict[str, Any]]

    @property
    def commands(self) -> list[str]:
        """The commands, in order."""
        return [str(call["command"]) for call in self.calls]

    def of(self, beginning: str) -> list[str]:
        """Those commands that begin so."""
        return [command for command in self.commands if command.startswith(beginning)]

    def place(self, beginning: str) -> int:
        """Where the first such command stands."""
        return next(place for place, command in enumerate(self.commands) if command.startswith(beginning))


@dataclass
class Place:
    """A project's files, a made-up cloud, and where the stand-ins are."""

    folder: Path
    cloud: dict[str, Any] = field(
        default_factory=lambda: {
            "apis": ["storage.googleapis.com"],
            "faults": [],
            "images": [],
            "lacking": [],
            "objects": {},
            "outputs": {},
            "services": {},
        }
    )

    def __post_init__(self) -> None:
        shutil.copytree(ROOT / "deploy", self.project / "deploy")
        self.write("Dockerfile", "FROM scratch\nCOPY shared shared\n")
        self.write(".dockerignore", "*\n!shared/**\n!entry.sh\n")
        self.write("shared/tally.py", "print('tally')\n")
        self.write("entry.sh", "#!/bin/sh\n").chmod(0o755)
        self.write("terraform/environments/small.tfvars", 'tier = "small"\n')
        self.write("terraform/environments/production.tfvars", 'tier = "large"\n')
        self.tools.mkdir()
        self.temporary.mkdir()
        for name in ORDINARY:
            found = shutil.which(name)
            assert found is not None, name
            (self.tools / name).symlink_to(found)
        for name in STAND_INS:
            stand_in = self.tools / name
            stand_in.write_text(f"#!{sys.executable} -IS\n" + (Path(__file__).parent / "standin.py").read_text())
            stand_in.chmod(0o755)

    @property
    def project(self) -> Path:
        return self.folder / "project"

    @property
    def tools(self) -> Path:
        return self.folder / "bin"

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    def write(self, name: str, text: str) -> Path:
        """Puts a file into the project."""
        path = self.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def fault(self, call: str, *, after: int = 0, status: int = 1, out: str = "", err: str = "") -> None:
        """Lets every call that begins so end otherwise, but for the first ones."""
        self.cloud["faults"].append({"call": call, "after": after, "exit": status, "out": out, "err": err})

    def environment(self) -> dict[str, str]:
        """Nothing of whoever runs the tests."""
        return {
            "HOME": str(self.folder),
            "PATH": str(self.tools),
            "PYTHON": sys.executable,
            "STANDIN_CALLS": str(self.folder / "calls"),
            "STANDIN_CLOUD": str(self.folder / "cloud.json"),
            "TMPDIR": str(self.temporary),
        }

    def start(self, script: str, *options: str, **more: Any) -> subprocess.Popen[str]:
        """Starts a script."""
        (self.folder / "calls").write_text("")
        (self.folder / "cloud.json").write_text(json.dumps(self.cloud))
        environment = {**self.environment(), **more.pop("environment", {})}
        return subprocess.Popen(
            [str(self.project / "deploy" / script), *options],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **more,
        )

    def run(self, script: str, *options: str, answer: str = "", **more: Any) -> Outcome:
        """Runs a script to its end; the cloud is afterwards as it left it."""
        process = self.start(script, *options, **more)
        out, said = process.communicate(answer, timeout=60)
        self.cloud = json.loads((self.folder / "cloud.json").read_text())
        return Outcome(process.returncode, out, said, self.calls())

    def calls(self) -> list[dict[str, Any]]:
        """What was called up to now."""
        return [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]

    def deploy(self, *options: str, **more: Any) -> Outcome:
        """`make deploy YES=1` for the project, with more options."""
        return self.run("deploy.sh", f"PROJECT={PROJECT}", f"REGION={REGION}", "YES=1", *options, **more)

    def deployed(self) -> Outcome:
        """A first deploy that went well."""
        outcome = self.deploy()
        assert outcome.status == 0, outcome.said
        return outcome

    def already_deployed(self) -> None:
        """As `deployed`, but run once a session only."""
        if not _ONCE:
            self.deployed()
            _ONCE.append(json.dumps(self.cloud))
        self.cloud = json.loads(_ONCE[0])

    def left_over(self) -> list[str]:
        """What is left in the folder for temporary files."""
        return sorted(path.name for path in self.temporary.iterdir())
