"""What surrounds the database in a snapshot: the SHA-256 at its end, or the archive someone put it into."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

from keyctl.errors import KeyctlError, UnusableInputError
from keyctl.etcd_files.database_file import DatabaseFile

# etcd sends whole database pages and then their SHA-256; a file copied from a disk lacks it.
DIGEST_BYTES = 32
_ALIGNMENT = 512
_ARCHIVES = {
    b"\x1f\x8b": ("gzip", "unpack it first: gunzip --keep NAME"),
    b"PK\x03\x04": ("zip", "unpack it first: unzip NAME"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unpack it first: zstd -d NAME"),
    b"\xfd7zXZ\x00": ("xz", "unpack it first: xz -dk NAME"),
}

SHA256_OK, SHA256_ABSENT = "sha256-ok", "sha256-absent"


@dataclass(frozen=True, slots=True)
class Extent:
    """How many bytes are the database, and whether its SHA-256 follows them."""

    length: int
    has_digest: bool


def extent(file: DatabaseFile) -> Extent:
    """Where the database in `file` ends. Raises `UnusableInputError` for an archive and for a cut file."""
    start = file[0:8]
    for magic, (kind, how) in _ARCHIVES.items():
        if start.startswith(magic):
            raise UnusableInputError(f"{file.path} is compressed", cause=f"it starts as a {kind} file does", hint=how)
    over = file.size % _ALIGNMENT
    if over not in (0, DIGEST_BYTES) or file.size == DIGEST_BYTES:
        raise UnusableInputError(
            f"{file.path} is not a whole snapshot",
            cause=f"its {file.size} bytes are neither whole pages nor whole pages and a SHA-256",
            hint="it was cut, or is still being copied: take the file again",
        )
    return Extent(file.size - over, over > 0)


@contextmanager
def digest_checked(file: DatabaseFile, found: Extent) -> Generator[Callable[[], str]]:
    """Compute the SHA-256 of `file` beside whatever is done within, on a thread of its own.

    What it gives waits for the end and returns the integrity: "sha256-ok", or
    "sha256-absent" where there is none. It raises `UnusableInputError` when the
    digest is not that of the data.
    """
    if not found.has_digest:
        yield lambda: SHA256_ABSENT
        return
    thread = _Digest(file, found.length)
    thread.start()
    try:
        yield thread.integrity
    finally:
        thread.stopped.set()
        thread.join()


class _Digest(threading.Thread):
    def __init__(self, file: DatabaseFile, length: int) -> None:
        super().__init__(name="sha256", daemon=True)
        self._file, self._length = file, length
        self._digest = b""
        self._error: KeyctlError | None = None
        self.stopped = threading.Event()

    def run(self) -> None:
        """Compute."""
        try:
            self._digest = self._file.sha256(self._length, self.stopped)
        except KeyctlError as error:
            self._error = error

    def integrity(self) -> str:
        """Wait, compare, and say so."""
        self.join()
        if self._error is not None:
            raise self._error
        if self._digest != self._file[self._length : self._length + DIGEST_BYTES]:
            raise UnusableInputError(
                f"{self._file.path} is damaged",
                cause="the SHA-256 at its end is not that of the data",
                hint="use another copy",
            )
        return SHA256_OK
