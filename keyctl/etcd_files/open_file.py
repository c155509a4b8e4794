"""One file, read where it is sliced. Never mapped, so that it may shrink or go while etcd runs; never written."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from keyctl.errors import UnusableInputError


class OpenFile:
    """The bytes of `path`; a context manager. `size` is what it had when it was opened.

    Raises `UnusableInputError` when it cannot be opened or read, but
    `FileNotFoundError` when it is not there: a running etcd removes files.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self.size = os.fstat(self._descriptor).st_size
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._unreadable(error) from error

    def __getitem__(self, where: slice) -> bytes:
        """The bytes of `where`, which has a start and an end; fewer where the file ends."""
        start = where.start or 0
        if where.stop <= start:
            return b""
        try:
            return os.pread(self._descriptor, where.stop - start, start)
        except OSError as error:
            raise self._unreadable(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def _unreadable(self, error: OSError) -> UnusableInputError:
        return UnusableInputError(
            f"{self.path} cannot be read", cause=error.strerror, hint="run as a user who may read etcd's files"
        )


def regular_files(folder: Path) -> list[Path]:
    """The files in `folder` by name, nothing below it. Raises `UnusableInputError` when it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_file())
    except OSError as error:
        raise UnusableInputError(
            f"{folder} cannot be read", cause=error.strerror, hint="run as a user who may read etcd's files"
        ) from error
