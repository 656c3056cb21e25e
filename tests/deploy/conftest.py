from pathlib import Path

import pytest

from tests.deploy.harness import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A project of a few files and a cloud in which nothing was deployed yet."""
    return Place(tmp_path)
