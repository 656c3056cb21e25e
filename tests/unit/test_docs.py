"""The documents name what there is."""

from pathlib import Path

import pytest

from tally.event import ALIASES, FIELDS
from tally.settings import Settings, shown, variable
from tally.tokens import SCOPES
from tally.usage.question import DIMENSIONS
from tally.usage.windows import WINDOWS

ROOT = Path(__file__).parents[2]
API = (ROOT / "docs" / "api.md").read_text("utf-8")
SETTINGS = (ROOT / "docs" / "settings.md").read_text("utf-8")


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented_with_its_default_and_meaning(name: str) -> None:
    default = shown(Settings.model_construct(), name)
    [line] = [line for line in SETTINGS.splitlines() if line.startswith(f"| `{variable(name)}` |")]
    assert (
        line
        == f"| `{variable(name)}` | {f'`{default}`' if default else ''} | {Settings.model_fields[name].description} |"
    )


def test_no_document_names_a_setting_that_there_is_not() -> None:
    documented = {line.split("`")[1] for line in SETTINGS.splitlines() if line.startswith("| `TALLY_")}
    assert documented == {variable(name) for name in Settings.model_fields}


@pytest.mark.parametrize("name", [*sorted(FIELDS), *ALIASES, *DIMENSIONS, *WINDOWS, *SCOPES])
def test_every_field_dimension_window_and_scope_is_in_the_description_of_the_interface(name: str) -> None:
    assert f"`{name}`" in API
