"""`stack.json` in the data folder: what runs there, so that a tool can find each part."""

import json
from pathlib import Path
from typing import Any

_NAME = "stack.json"


def running_stack(data_dir: Path) -> dict[str, Any] | None:
    """`{"url", "database", "processes": [{name, pid, url}]}` of the stack on `data_dir`, or None."""
    try:
        content: dict[str, Any] = json.loads((data_dir / _NAME).read_text())
    except FileNotFoundError:
        return None
    return content


def write_stack_file(data_dir: Path, content: dict[str, Any]) -> None:
    """Replace the file in one step, so that a reader never sees half of it."""
    beside = data_dir / f"{_NAME}.new"
    beside.write_text(json.dumps(content, indent=2) + "\n")
    beside.replace(data_dir / _NAME)


def remove_stack_file(data_dir: Path) -> None:
    """Nothing runs on `data_dir` any more."""
    (data_dir / _NAME).unlink(missing_ok=True)
