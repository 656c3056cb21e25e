"""`tally serve`: checks every setting, then becomes the server of one function, here as in the image.

A wrong setting ends the start, where a deploy sees it, and not the first request.
"""

import os
import runpy
import sys
from pathlib import Path

from tally.errors import ConfigurationError
from tally.settings import FunctionName, expected, read, variable

# Beside this package in a checkout and in the image.
FUNCTIONS = Path(__file__).parents[2] / "functions"

# The Functions Framework would read these: another server than the one that is tested, or one that ends when busy.
_FRAMEWORK_VARIABLES = frozenset({"CLOUD_RUN_TIMEOUT_SECONDS", "DEBUG"})
# Batches, remembered tokens and connections are a process's own: a second one would halve the batches and open twice
# the connections that Terraform counts for an instance. Whoever needs more has more instances.
_WORKERS = "1"


def to_serve(function: str | None) -> FunctionName:
    """`function`, or else the one that TALLY_FUNCTION names, whose settings are all there and good.

    Raises:
        ConfigurationError: one is unknown, malformed or missing.
    """
    chosen = read(function=function)
    if chosen.function is None:
        raise ConfigurationError(
            f"no function is named: set {variable('function')} to {expected('function')}, or say `tally serve FUNCTION`"
        )
    if chosen.database_url is None and chosen.cloud_sql_instance is None:
        raise ConfigurationError(
            f"no database is named: set {variable('database_url')} or {variable('cloud_sql_instance')}"
        )
    if chosen.function == "ingest" and chosen.topic is None and chosen.record_url is None:
        raise ConfigurationError(
            f"ingest has nowhere to publish to: set {variable('topic')}, or {variable('record_url')} for a small set-up"
        )
    if not _source(chosen.function).is_file():
        raise ConfigurationError(
            f"{FUNCTIONS} has no functions; run `tally serve` from a checkout or the image of Tally"
        )
    return chosen.function


def serve(function: FunctionName, host: str, port: int) -> None:
    """Makes this process the Functions Framework's server of `function`, until it is ended.

    As `python -m functions_framework` would, but within this process: starting Python and its modules once more would
    take a quarter of a function's cold start.
    """
    for name in _FRAMEWORK_VARIABLES:
        os.environ.pop(name, None)
    os.environ |= {"WORKERS": _WORKERS, variable("function"): function}
    target = ["--target", function, "--source", str(_source(function)), "--asgi"]
    sys.argv = ["functions_framework", *target, "--host", host, "--port", str(port)]
    runpy.run_module("functions_framework", run_name="__main__", alter_sys=True)


def _source(function: FunctionName) -> Path:
    return FUNCTIONS / function / "main.py"
