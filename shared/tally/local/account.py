"""The system account that Postgres runs as, because it refuses to run as root."""

import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tally.local import LocalError

_NAME = "tally"
_FALLBACK = "nobody"


@dataclass(frozen=True, slots=True)
class Account:
    """A system account; `None` from `account_for` stands for the one that runs this process."""

    name: str
    uid: int
    gid: int


def account_for(folder: Path) -> Account | None:
    """Who runs Postgres on `folder`, which need not exist yet.

    Whoever runs this process (None), unless that is root: then the owner of the folder or of the nearest one
    above, so that the data in somebody's project stays theirs; for root's folders the system account `tally`,
    which is made if need be.
    """
    if os.geteuid() != 0:
        return None
    owner = _nearest(folder).stat().st_uid
    if owner != 0:
        try:
            return _account(pwd.getpwuid(owner))
        except KeyError:
            pass  # a mounted folder of somebody whom this machine does not know
    return _account(_system_account())


def give(folder: Path, account: Account) -> None:
    """Make `account` the owner of a folder that came from a machine where it had another number."""
    if folder.stat().st_uid == account.uid:
        return
    for path in (
        *folder.rglob("*"),
        folder,
    ):  # the folder last, so that an interrupted change is taken up again
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def let_through(folder: Path, account: Account) -> None:
    """Let `account` pass through every folder above `folder`, and through itself, without reading them.

    Raises:
        LocalError: One of them belongs to somebody else, whose permissions are theirs to change.
    """
    for parent in (*reversed(folder.parents), folder):
        status = parent.stat()
        if _may_pass(status, account):
            continue
        if status.st_uid != 0:
            raise LocalError(
                f"Postgres runs as {account.name} and cannot pass through {parent}, which belongs to "
                f"somebody else; allow it with: chmod o+x {parent}"
            )
        parent.chmod(stat.S_IMODE(status.st_mode) | stat.S_IXOTH)


def let_read(folder: Path, account: Account) -> None:
    """Let `account` read and run the programs below `folder`, which were installed under a strict umask.

    Raises:
        LocalError: A folder above belongs to somebody else and is closed.
    """
    let_through(folder, account)
    for path in (folder, *folder.rglob("*")):
        if path.is_symlink():
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        readable = mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0)
        if mode != readable:
            path.chmod(readable)


def _may_pass(status: os.stat_result, account: Account) -> bool:
    if status.st_uid == account.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def _nearest(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _system_account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(_NAME)
    except KeyError:
        pass
    if useradd := shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin"):
        made = subprocess.run(
            [useradd, "--system", "--user-group", "--no-create-home", "--shell", "/bin/false", _NAME],
            capture_output=True,
            check=False,
        )
        if made.returncode in {0, 9}:  # 9: made in the meantime by another process
            return pwd.getpwnam(_NAME)
    return pwd.getpwnam(_FALLBACK)  # no useradd, or a read-only /etc
