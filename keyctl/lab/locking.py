"""One holder of a directory at a time, across processes. The kernel lets go when the holder dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from keyctl.errors import RefusedError


@contextmanager
def locked(directory: Path, *, patience: float, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold `directory`, made 0700 where it is missing; nothing is left in it for a lock's sake.

    `on_wait` is called once when somebody else holds it. Raises `RefusedError` after `patience` seconds.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _wait(descriptor, directory, time.monotonic() + patience, on_wait)
        yield
    finally:
        os.close(descriptor)


def _wait(descriptor: int, directory: Path, deadline: float, on_wait: Callable[[], None] | None) -> None:
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            if on_wait is not None:
                on_wait()
                on_wait = None
            if time.monotonic() > deadline:
                raise RefusedError(
                    f"another process holds {directory}", hint="wait for it to end, then run the command again"
                ) from exc
            time.sleep(0.1)
