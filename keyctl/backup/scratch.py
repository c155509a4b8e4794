"""A directory for one file that must not outlive the work: emptied in the end, and by the next run where that came not.

A process that is killed cannot tidy up; the lock on its directory ends with it, and so the next one knows.
"""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from keyctl.keys.private_files import sync_directory

_PREFIX = "keyctl-scratch-"
_ZEROS = bytes(1 << 20)


@contextmanager
def scratch_directory(parent: Path) -> Iterator[Path]:
    """A directory of our own in `parent`, 0700, for the time of the work.

    What lies in it in the end is overwritten before it is removed, and so is what runs that were killed have left.
    Raises `OSError`.
    """
    _clear_left(parent)
    folder, lock = _make(parent)
    try:
        yield folder
    finally:
        try:
            _erase(folder)
        finally:
            os.close(lock)


def erase(path: Path) -> None:
    """Overwrite `path` where it lies, piece by piece: it may be a whole snapshot. Then remove it. Raises `OSError`."""
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(descriptor, "wb", buffering=0) as file:  # noqa: PTH123 — a descriptor, not a path
        left = os.fstat(file.fileno()).st_size
        while left > 0:
            left -= file.write(_ZEROS[:left])
        os.fsync(file.fileno())
    path.unlink()
    sync_directory(path.parent)


def _make(parent: Path) -> tuple[Path, int]:
    """A new directory, and the descriptor that holds its lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        lock = _locked(folder)
        # NOTE: between its making and its lock, another run may have taken it for one that was left.
        if lock is not None and folder.is_dir():
            return folder, lock
        if lock is not None:
            os.close(lock)


def _clear_left(parent: Path) -> None:
    """Erase what other runs have left in `parent`. What cannot be erased stays: that must not keep us from our work."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            status = folder.lstat()
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
                continue
            if (lock := _locked(folder)) is not None:
                try:
                    _erase(folder)
                finally:
                    os.close(lock)


def _locked(folder: Path) -> int | None:
    """A descriptor that holds the lock of `folder`; None when another run holds it, or the directory is gone."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _erase(folder: Path) -> None:
    """What the files held is what should be gone: not only their names go."""
    for parent, below, names in os.walk(folder, topdown=False):
        for path in (Path(parent) / name for name in (*names, *below)):
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                erase(path)
            elif stat.S_ISDIR(mode):
                path.rmdir()
            else:
                path.unlink()
    folder.rmdir()
