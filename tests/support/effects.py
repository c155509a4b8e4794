"""Note the effects of code on the file system, in order."""

from __future__ import annotations

import gc
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

_EFFECTS = ("mkdir", "link", "unlink", "replace", "rename", "ftruncate", "write", "fsync")


def noted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that fills with "write", "fsync file", "fsync directory", "link" … as they happen."""
    done: list[str] = []
    for name in _EFFECTS:
        monkeypatch.setattr(os, name, _noting(name, getattr(os, name), done))
    return done


def tree(directory: Path) -> dict[str, tuple[int, int, bytes]]:
    """Everything below `directory`: mode, time of the last change in nanoseconds, and content, by path."""
    return {str(path.relative_to(directory)): _entry(path) for path in (directory, *directory.rglob("*"))}


def open_descriptors() -> set[tuple[str, str]]:
    """What this process has open: (number, file or pipe). Nothing stayed open where all of it was open before.

    What an earlier test has left may be closed at any time, by a thread of its own, so a number would not tell.
    """
    gc.collect()
    return set(_descriptors())


def _descriptors() -> Iterator[tuple[str, str]]:
    for link in Path("/proc/self/fd").iterdir():
        # The one by which this directory is read is closed again.
        with suppress(FileNotFoundError):
            yield link.name, str(link.readlink())


def _noting(name: str, real: Callable[..., object], done: list[str]) -> Callable[..., object]:
    def call(*args: object, **kwargs: object) -> object:
        if name == "fsync":
            (descriptor,) = args
            assert isinstance(descriptor, int)
            done.append("fsync directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "fsync file")
        else:
            done.append(name)
        return real(*args, **kwargs)

    return call


def _entry(path: Path) -> tuple[int, int, bytes]:
    status = path.lstat()
    # NOTE: the change time too: bytes that were written anew as they were are no change of the content.
    return status.st_mode, status.st_ctime_ns, path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
