"""The file of a database: read where it is sliced, and told apart from what becomes of it while it is read.

Never mapped: a mapped file that someone cuts short kills the process that reads
it, and its pages count as that process's own memory.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from keyctl.errors import UnusableInputError
from keyctl.etcd_files.open_file import OpenFile

_AHEAD_BYTES = 128 << 10
# What is read into the processor's own memory is summed from there.
_DIGEST_BYTES = 256 << 10


class FileState(NamedTuple):
    """What tells one content of one file from another."""

    device: int
    inode: int
    size: int
    modified: int


class DatabaseFile(OpenFile):
    """An open file whose small slices in ascending order are read ahead. Not for several threads, but for `sha256`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._ahead, self._start, self._end = b"", 0, 0
        self.state = _state(os.fstat(self._descriptor))

    def __getitem__(self, where: slice) -> bytes:
        """See `OpenFile.__getitem__`."""
        start, end = where.start, where.stop
        if self._start <= start and end <= self._end:
            return self._ahead[start - self._start : end - self._start]
        if end - start >= _AHEAD_BYTES or not 0 <= start - self._end < _AHEAD_BYTES:
            self._start = self._end = max(end, start)
            return super().__getitem__(where)
        self._ahead = super().__getitem__(slice(start, start + _AHEAD_BYTES))
        self._start, self._end = start, start + len(self._ahead)
        return self._ahead[: end - start]

    def forget(self) -> None:
        """Read what comes next from the file, even if it was read ahead before."""
        self._start = self._end = 0

    def moved(self) -> str | None:
        """What became of the file's name since it was opened, in words; None when it still leads to it."""
        try:
            now = _state(self.path.stat())
        except FileNotFoundError:
            return "it was removed"
        except OSError as error:
            return error.strerror or "its directory cannot be read any more"
        return None if now[:2] == self.state[:2] else "another file took its name"

    def changed(self) -> str | None:
        """What became of the file since it was opened, in words; None when it is as it was."""
        now = _state(os.fstat(self._descriptor))
        if now.size != self.size:
            return f"it had {self.size} bytes, and has {now.size} now"
        return self.moved() or (None if now == self.state else "it was written to")

    def sha256(self, length: int, stopped: threading.Event | None = None) -> bytes:
        """The SHA-256 of the first `length` bytes; of fewer when `stopped` is set, or the file ends, before."""
        digest, done = hashlib.sha256(), 0
        buffer = memoryview(bytearray(min(_DIGEST_BYTES, length)))
        while done < length and not (stopped and stopped.is_set()):
            try:
                read = os.preadv(self._descriptor, [buffer[: length - done]], done)
            except OSError as error:
                raise self._unreadable(error) from error
            if not read:
                break
            digest.update(buffer[:read])
            done += read
        return digest.digest()


@contextmanager
def opened(path: Path) -> Generator[DatabaseFile]:
    """Open a file for reading. Raises `UnusableInputError` when it cannot be opened, is empty or no regular file."""
    try:
        # NOTE: opening the name of a pipe would wait for a writer for ever.
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise UnusableInputError(f"{path} is a directory, and the file of a database is expected")
        if not stat.S_ISREG(mode):
            raise UnusableInputError(f"{path} is no regular file")
        file = DatabaseFile(path)
    except OSError as error:
        raise UnusableInputError(f"{path} cannot be read", cause=error.strerror) from error
    with file:
        if not file.size:
            raise UnusableInputError(f"{path} is empty", hint="take the file again")
        yield file


def _state(status: os.stat_result) -> FileState:
    return FileState(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
