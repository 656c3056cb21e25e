"""Which settings the code of a function may read: from its `main.py` along every import, also those in functions."""

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from tally.settings import Settings, variable

ROOT = Path(__file__).parents[2]
# What a settings object is called wherever there is one: `settings()`, `settings`, `self._settings`, `chosen`.
_NAMES = frozenset({"settings", "_settings", "chosen"})


def variables_read(source: Path) -> frozenset[str]:
    """The environment variables of the settings that a program may read."""
    fields = {field for path in _reached(source) for field in _fields(path)}
    return frozenset(variable(field) for field in fields)


def pool_size(source: Path) -> int:
    """How many connections the one `Store` that a file makes may open."""
    from tally.database import Store

    [call] = [node for node in ast.walk(_tree(source)) if isinstance(node, ast.Call) and _name(node.func) == "Store"]
    for keyword in call.keywords:
        if keyword.arg == "pool_size":
            return int(ast.literal_eval(keyword.value))
    default = Store.__init__.__kwdefaults__
    assert default is not None
    return int(default["pool_size"])


def _reached(source: Path) -> frozenset[Path]:
    reached: set[Path] = set()
    left = [source]
    while left:
        path = left.pop()
        if path not in reached:
            reached.add(path)
            left.extend(_imported(path))
    return frozenset(reached)


@cache
def _imported(path: Path) -> frozenset[Path]:
    names: set[str] = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(file for name in names if name.split(".")[0] == "tally" and (file := _file(name)) is not None)


@cache
def _file(module: str) -> Path | None:
    """The file of a module; None for what is inside one."""
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec is not None and spec.origin is not None else None


@cache
def _fields(path: Path) -> frozenset[str]:
    return frozenset(
        node.attr
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Attribute) and node.attr in Settings.model_fields and _name(node.value) in _NAMES
    )


def _name(node: ast.expr) -> str | None:
    """The last part of a name, whether it is called or not."""
    if isinstance(node, ast.Call):
        return _name(node.func)
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))
