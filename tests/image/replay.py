"""Replays a Dockerfile without Docker: what it copies and runs, in a folder that stands for the image's root.

Knows only the instructions that this project's Dockerfile has, and fails on all others. In place of the base image
there is the Python that runs the tests.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO

_ROOT = PurePosixPath("/")
# Absolute paths that belong to the image; all others, such as /bin, are the machine's.
_OWN = re.compile(r"(?<!\w)/(?=(?:app|opt|tmp)\b)")
# What pip needs, to reach the index that whoever runs the tests uses, and to find what it has fetched before.
_FOR_PIP = ("HOME", "HTTP", "NO_PROXY", "PIP_", "REQUESTS_", "SSL_", "http", "no_proxy")


@dataclass(frozen=True)
class Image:
    """A stage: its files, which lie below `root`, and how it is run."""

    root: Path
    environment: Mapping[str, str]
    folder: PurePosixPath = _ROOT
    user: str = "root"
    command: Sequence[str] = ()

    def path(self, inside: str | PurePosixPath = "") -> Path:
        """Where a path of the image lies here."""
        return self.root / (self.folder / inside).relative_to(_ROOT)

    def mapped(self, text: str) -> str:
        """A text with the image's own paths as they are here."""
        return _OWN.sub(f"{self.root}/", text)

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], output: IO[bytes]
    ) -> "subprocess.Popen[bytes]":
        """Starts a command in the image with its environment, `environment` and nothing else, in a group of its own."""
        own = {name: self.mapped(value) for name, value in self.environment.items()}
        program = shutil.which(command[0], path=own["PATH"])
        assert program is not None, f"{command[0]} is not on PATH"
        return subprocess.Popen(
            [program, *command[1:]],
            env={**own, **environment},
            cwd=self.path(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def replay(context: Path, work: Path) -> Image:
    """The image that the Dockerfile of the folder `context` makes, built below `work`."""
    build = _Build(context, work)
    for instruction, rest in instructions((context / "Dockerfile").read_text()):
        assert instruction in build.known, f"the replay does not know {instruction}"
        build.known[instruction](rest)
    return build.stage


def instructions(dockerfile: str) -> Iterator[tuple[str, str]]:
    """Each instruction and the rest of it, continued lines as one."""
    lines = [line for line in dockerfile.splitlines() if line.strip() and not line.startswith("#")]
    for line in "\n".join(lines).replace("\\\n", "").splitlines():
        instruction, _, rest = line.partition(" ")
        yield instruction, rest.strip()


class Ignored:
    """What .dockerignore lets through: the last pattern that matches a path, or a folder above it, decides."""

    def __init__(self, text: str) -> None:
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        self._rules = [(_pattern(line.removeprefix("!")), line.startswith("!")) for line in lines]

    def passes(self, path: PurePosixPath) -> bool:
        """Whether the file at `path`, relative to the context, is sent to a build."""
        passes = True
        for pattern, exception in self._rules:
            if any(pattern.fullmatch(str(one)) for one in (path, *path.parents)):
                passes = exception
        return passes


def _pattern(text: str) -> re.Pattern[str]:
    signs = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*"}
    return re.compile("".join(signs.get(part, re.escape(part)) for part in re.split(r"(\*\*/|\*\*|\*)", text)))


class _Build:
    """Every stage is built at one place, as in a container: programs hold the paths that they were installed to."""

    def __init__(self, context: Path, work: Path) -> None:
        self._context = context
        self._ignored = Ignored((context / ".dockerignore").read_text())
        self._built = work / "built"
        self._built.mkdir()
        self._name: str | None = None
        self._stages: dict[str, Image] = {}
        self._base = Image(work / "root", {"PATH": f"{_base(work)}:/usr/bin:/bin"})
        self.stage = self._base
        self.known = {
            "CMD": self._command,
            "COPY": self._copy,
            "ENV": self._environment,
            "FROM": self._from,
            "RUN": self._run,
            "USER": self._user,
            "WORKDIR": self._folder,
        }

    def _from(self, rest: str) -> None:
        if self._name is not None:
            self._stages[self._name] = replace(self.stage, root=self._built / self._name)
            self.stage.root.rename(self._built / self._name)
        parent, _, self._name = rest.partition(" AS ")
        self.stage = self._base
        if parent in self._stages:
            self.stage = replace(self._stages[parent], root=self._base.root)
            shutil.copytree(self._stages[parent].root, self.stage.root, symlinks=True)
        else:
            assert parent.startswith("python:"), parent
            (self.stage.root / "tmp").mkdir(parents=True)

    def _environment(self, rest: str) -> None:
        given = dict(word.split("=", 1) for word in shlex.split(rest))
        self.stage = replace(self.stage, environment={**self.stage.environment, **given})

    def _folder(self, rest: str) -> None:
        self.stage = replace(self.stage, folder=PurePosixPath(rest))
        self.stage.path().mkdir(parents=True, exist_ok=True)

    def _user(self, rest: str) -> None:
        self.stage = replace(self.stage, user=rest)

    def _command(self, rest: str) -> None:
        self.stage = replace(self.stage, command=json.loads(rest))

    def _run(self, rest: str) -> None:
        environment = {name: value for name, value in os.environ.items() if name.startswith(_FOR_PIP)}
        subprocess.run(
            ["/bin/sh", "-ec", self.stage.mapped(rest)],
            env={**environment, **self.stage.environment},
            cwd=self.stage.path(),
            check=True,
        )

    def _copy(self, rest: str) -> None:
        *options, source, target = rest.split()
        if options:
            [option] = options
            stage = self._stages[option.removeprefix("--from=")]
            shutil.copytree(stage.path(source), self.stage.path(target), symlinks=True, copy_function=os.link)
            return
        files = [self._context / source] if (self._context / source).is_file() else (self._context / source).rglob("*")
        for file in files:
            relative = PurePosixPath(file.relative_to(self._context))
            if file.is_file() and self._ignored.passes(relative):
                to = self.stage.path(target) / relative.relative_to(source)
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, to)
        _make_private(self.stage.path(target))


def _make_private(path: Path) -> None:
    """As it is in a checkout that was made with umask 077: a build gets the modes that files have there."""
    for one in (path, *path.rglob("*")):
        one.chmod(0o700 if one.is_dir() else 0o600)


def _base(work: Path) -> Path:
    """A folder with `python`. A link would not find pip."""
    folder = work / "base"
    folder.mkdir()
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return folder
