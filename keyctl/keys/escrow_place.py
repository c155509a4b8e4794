"""Where an escrow may be, and how its file gets there: for its owner alone, and never over another.

An escrow is for the day on which a disk is lost, or a directory leaks. Beside the backups it would give whoever takes
them one thing less to look for; beside the key store it would be lost with it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from keyctl.errors import RefusedError, UnreachableError
from keyctl.keys.private_files import sync_directory, write_and_close

_ELSEWHERE = "write it to another medium, and take that away: what is here can be lost and stolen together"


def check_place(path: Path, *, backups: Iterable[Path], keys: Path | None) -> None:
    """Raise `RefusedError` where an escrow at `path` would be beside a directory of `backups`, or beside the `keys`.

    Beside: in the same directory, in one below it, or on the file system that the backups have for themselves: one
    that the keys are not on.
    """
    place = _real(path.parent)
    for directory in dict.fromkeys(_real(one) for one in backups):
        if place.is_relative_to(directory):
            raise RefusedError(
                f"the escrow would be beside the backups in {directory}",
                cause="whoever takes that directory would have the data and the keys to it, but for one identity",
                hint=_ELSEWHERE,
            )
        if keys is not None and _device(place) == _device(directory) != _device(_real(keys)):
            raise RefusedError(
                f"the escrow would be on the file system that has the backups in {directory}",
                cause="it is lost, copied and restored together with them",
                hint=_ELSEWHERE,
            )
    if keys is not None and place.is_relative_to(_real(keys)):
        raise RefusedError(
            f"the escrow would be in the key store {keys}", cause="it would be lost with the keys", hint=_ELSEWHERE
        )


def write(path: Path, sealed: bytes) -> None:
    """Write `sealed` to the new file `path`, 0600, on the disk before this returns; nothing is left when it fails.

    Raises `RefusedError` where something has that name, `UnreachableError` where it cannot be written.
    """
    # NOTE: not written beside it and linked: the sticks that people carry away often know no links.
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise RefusedError(f"{path} exists already", hint="give the escrow a new name") from None
    except OSError as error:
        raise _unwritten(path, error) from error
    try:
        write_and_close(descriptor, sealed)
        sync_directory(path.parent)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _unwritten(path, error) from error
        raise


def _unwritten(path: Path, error: OSError) -> UnreachableError:
    return UnreachableError(
        f"the escrow {path} cannot be written",
        cause=error.strerror or type(error).__name__,
        hint="name a directory that is there, can be written to and has room",
    )


def _real(directory: Path) -> Path:
    """Where it is, links followed, whether it is there or not."""
    return directory.absolute().resolve()


def _device(directory: Path) -> int:
    """The file system that `directory` is on, or would be."""
    there = next(one for one in (directory, *directory.parents) if one.exists())
    return there.stat().st_dev
