"""Who can reach a plugin's socket, from its file. Reads modes and owners; connects nowhere."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from keyctl.errors import UnreachableError
from keyctl.kms.interface import SocketFile


def look_at(path: str) -> SocketFile:
    """The socket at `path`. Raises `UnreachableError` where there is none, or it may not be looked at."""
    try:
        found = os.stat(path)  # noqa: PTH116 — a Path would lose a double slash
        # The way as it is written, and the one that it leads to: a link on it can be replaced as well.
        ways = [_way(os.path.abspath(path)), _way(os.path.realpath(path))]  # noqa: PTH100 — a Path would follow ".."
    except FileNotFoundError as error:
        raise UnreachableError(
            f"there is no socket {path}", cause=error.strerror, hint="start the plugin; it makes the socket"
        ) from error
    except OSError as error:
        raise UnreachableError(
            f"{path} cannot be looked at",
            cause=error.strerror,
            hint="run keyctl as the user that kube-apiserver runs as",
        ) from error
    if not stat.S_ISSOCK(found.st_mode):
        raise UnreachableError(f"{path} is no socket", hint="copy the endpoint from the encryption configuration")
    searchable = all(parent.st_mode & stat.S_IXOTH for way in ways for _, parent in way)
    return SocketFile(
        mode=stat.S_IMODE(found.st_mode),
        uid=found.st_uid,
        gid=found.st_gid,
        # NOTE: connecting takes the right to write to the socket, and to search every directory on the way.
        connectable=searchable and bool(found.st_mode & stat.S_IWOTH),
        replaceable=next(filter(None, map(_replaceable, ways)), None),
    )


def _way(path: str) -> list[tuple[Path, os.stat_result]]:
    """Every directory on the way to `path`, the nearest first."""
    return [(parent, parent.stat()) for parent in Path(path).parents]


def _replaceable(parents: list[tuple[Path, os.stat_result]]) -> str | None:
    """The directory nearest to `/` in which others may rename what is theirs and ours; None where there is none."""
    for place, (parent, found) in reversed(list(enumerate(parents))):
        open_to_all = found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX
        if open_to_all and all(above.st_mode & stat.S_IXOTH for _, above in parents[place:]):
            return str(parent)
    return None
