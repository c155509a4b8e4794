"""Folders with private keys in them: made whole beside their place and renamed into it, or put in the place of another.

Nothing that is half made is ever under its own name, and nothing is overwritten but what is to be replaced. Knows
nothing of certificates.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from keyctl.errors import KeyctlError, RefusedError, UnusableInputError
from keyctl.keys.private_files import erase, sync_directory

_THERE = frozenset({errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR})
_FORMER = ".former-"


@contextmanager
def placed(place: Path) -> Iterator[Path]:
    """A new folder beside `place`, which becomes `place` when the block ends well and is gone when it does not.

    Raises `RefusedError` where something is there, unless it is an empty folder; `UnusableInputError` where the system
    refuses.
    """
    if os.path.lexists(place) and not _is_empty(place):
        raise there(place)
    with _drafted(place) as draft:
        yield draft
        draft.rename(place)


@contextmanager
def replaced(place: Path) -> Iterator[Path]:
    """The same for a folder that is there: when the block ends well, its keys are erased and it is the new one.

    What a crash leaves is mended by `recover`.
    """
    with _drafted(place) as draft:
        yield draft
        former = place.with_name(f".{place.name}{_FORMER}{secrets.token_hex(8)}")
        place.rename(former)
        try:
            draft.rename(place)
        except BaseException:
            former.rename(place)
            raise
        sync_directory(place.parent)
        _erase(former)


def recover(parent: Path) -> None:
    """Finish what a crash left below `parent`: a folder that was taken away is back, or erased where a new one came."""
    for former in sorted(parent.glob(f".*{_FORMER}*")):
        place = parent / former.name.rpartition(_FORMER)[0].removeprefix(".")
        if os.path.lexists(place):
            _erase(former)
        else:
            former.rename(place)
            sync_directory(parent)


def there(place: Path) -> RefusedError:
    """Why nothing is made at `place`."""
    return RefusedError(f"{place} exists and is not overwritten", hint="name another one, or move away what is there")


@contextmanager
def _drafted(place: Path) -> Iterator[Path]:
    draft = place.with_name(f".{place.name}.{secrets.token_hex(8)}")
    try:
        draft.mkdir(mode=0o700)
        # NOTE: the caller's own block may raise OSError too; what it wrote is in this folder as well.
        yield draft
        sync_directory(place.parent)
    except OSError as error:
        if error.errno in _THERE:
            raise there(place) from error
        raise UnusableInputError(
            f"cannot make {place}",
            cause=(error.strerror or "the system refuses").lower(),
            hint="name a directory in a place that is yours",
        ) from error
    finally:
        # Gone when it was renamed; else what is in it are keys that nobody was given.
        shutil.rmtree(draft, ignore_errors=True)


def _erase(folder: Path) -> None:
    for key in folder.glob("*.key"):
        # One that others can read is no secret to be erased with care; it goes with the rest.
        with suppress(KeyctlError):
            erase(key)
    shutil.rmtree(folder)


def _is_empty(place: Path) -> bool:
    try:
        return place.is_dir() and not place.is_symlink() and not any(place.iterdir())
    except OSError:
        return False
