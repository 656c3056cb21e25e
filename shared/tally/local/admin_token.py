"""The admin token of a stack on this machine."""

import os
from pathlib import Path

from tally.settings import Settings
from tally.tokens import new_secret

_NAME = "admin-token"


def kept_admin_token(settings: Settings) -> str | None:
    """The admin token: the one that the settings give, or the one kept in the data folder, if any."""
    if settings.admin_token is not None:
        return settings.admin_token.get_secret_value()
    try:
        return _path(settings).read_text().strip()
    except FileNotFoundError:
        return None


def admin_token(settings: Settings) -> str:
    """As `kept_admin_token`, but made, and kept for its owner alone to read, where there is none."""
    kept = kept_admin_token(settings)
    if kept:
        return kept
    secret = new_secret()
    descriptor = os.open(_path(settings), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{secret}\n")
    return secret


def _path(settings: Settings) -> Path:
    return settings.data_dir / _NAME
