"""The file that a snapshot arrives in: beside its place, private, and locked for as long as somebody writes it.

A run that was killed leaves it, with all that etcd holds; nobody holds its lock then, so the next run takes it away.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path

_SUFFIX = ".part"


def create(path: Path) -> tuple[int, Path]:
    """A new file for what is to come to `path`: its descriptor, which keeps the lock, and its name.

    Raises `OSError` where the directory takes none.
    """
    while True:
        # mkstemp creates with O_EXCL and 0600; a neighbour, so that the rename stays on one disk.
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=_prefix(path), suffix=_SUFFIX)
        # A file system without locks: then nobody sweeps there, either.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        # Between its creation and its lock it may have been taken for one that was left.
        if os.fstat(descriptor).st_nlink:
            return descriptor, Path(name)
        os.close(descriptor)


def sweep(path: Path) -> None:
    """Take away what runs that were killed left of a snapshot that was to come to `path`; one that goes on stays."""
    # Not those of a snapshot whose name begins alike: mkstemp puts eight of these signs in between.
    ours = re.compile(re.escape(_prefix(path)) + "[a-z0-9_]{8}" + re.escape(_SUFFIX))
    for left in [one for one in path.parent.glob(f".*{_SUFFIX}") if ours.fullmatch(one.name)]:
        with suppress(OSError):
            descriptor = os.open(left, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                left.unlink()
            finally:
                os.close(descriptor)


def _prefix(path: Path) -> str:
    return f".{path.name}."
