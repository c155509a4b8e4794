"""An open file, read where it is sliced, and told apart from what it becomes while it is read.

Reads with `pread`, never through a memory map: a mapped file that someone cuts
short kills the process, and its pages count as the process's own memory.
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

_AHEAD_BYTES = 128 << 10
_DIGEST_BYTES = 8 << 20


class FileState(NamedTuple):
    """What tells one content of one file from another."""

    device: int
    inode: int
    size: int
    modified: int


class OpenFile:
    """A regular file that is open for reading. Small slices in ascending order are read ahead.

    Slices raise `UnusableInputError` where the file cannot be read, and are
    shorter than asked for where it ends. Not for several threads, but for `sha256`.
    """

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor, self._path = descriptor, path
        self._ahead, self._start, self._end = b"", 0, 0
        self.state = self._state_of(os.fstat(descriptor))

    @property
    def size(self) -> int:
        """How many bytes it had when it was opened."""
        return self.state.size

    def __getitem__(self, where: slice) -> bytes:
        """The bytes from `where.start` to `where.stop`; both must be given."""
        start, end = where.start, where.stop
        if self._start <= start and end <= self._end:
            return self._ahead[start - self._start : end - self._start]
        if not 0 <= start - self._end < _AHEAD_BYTES or end - start >= _AHEAD_BYTES:
            self._start = self._end = max(end, start)
            return self._read(start, end - start)
        self._ahead = self._read(start, _AHEAD_BYTES)
        self._start, self._end = start, start + len(self._ahead)
        return self._ahead[: end - start]

    def changed(self) -> str | None:
        """What became of the file since it was opened, in words; None when it is as it was."""
        try:
            open_now, there_now = self._state_of(os.fstat(self._descriptor)), self._state_of(self._path.stat())
        except FileNotFoundError:
            return "it was removed"
        except OSError as error:
            return error.strerror or "it cannot be looked at any more"
        if there_now[:2] != self.state[:2]:
            return "another file took its name"
        if open_now.size != self.size:
            return f"it had {self.size} bytes, and has {open_now.size} now"
        return None if open_now == self.state else "it was written to"

    def forget(self) -> None:
        """Read what comes next from the file, even if it was read before."""
        self._start = self._end = 0

    def sha256(self, length: int, stopped: threading.Event) -> bytes:
        """The SHA-256 of the first `length` bytes; of fewer when `stopped` is set before its end."""
        digest, done = hashlib.sha256(), 0
        buffer = memoryview(bytearray(min(_DIGEST_BYTES, length)))
        while done < length and not stopped.is_set():
            try:
                read = os.preadv(self._descriptor, [buffer[: length - done]], done)
            except OSError as error:
                raise self._unreadable(error) from error
            if not read:
                break
            digest.update(buffer[:read])
            done += read
        return digest.digest()

    def _read(self, start: int, size: int) -> bytes:
        try:
            return os.pread(self._descriptor, max(size, 0), start)
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError) -> UnusableInputError:
        return UnusableInputError(f"{self._path} cannot be read", cause=error.strerror)

    @staticmethod
    def _state_of(status: os.stat_result) -> FileState:
        return FileState(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


@contextmanager
def opened(path: Path) -> Generator[OpenFile]:
    """Open a file for reading. Raises `UnusableInputError` when it cannot be opened, is empty or no regular file."""
    try:
        # NOTE: without O_NONBLOCK the name of a pipe would wait for a writer for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise UnusableInputError(f"{path} cannot be read", cause=error.strerror) from error
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise UnusableInputError(f"{path} is a directory, and a file is expected")
        if not stat.S_ISREG(mode):
            raise UnusableInputError(f"{path} is no regular file")
        file = OpenFile(descriptor, path)
        if not file.size:
            raise UnusableInputError(f"{path} is empty", hint="take the file again")
        yield file
    finally:
        os.close(descriptor)
