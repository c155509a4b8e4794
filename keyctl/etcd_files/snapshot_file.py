"""What surrounds the database in a snapshot: the SHA-256 at its end, or the archive someone put it into."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from keyctl.errors import UnusableInputError
from keyctl.etcd_files.database_file import DatabaseFile
from keyctl.etcd_files.forked import forked, is_worth_it

# etcd sends whole database pages and then their SHA-256; a file copied from a disk lacks it.
DIGEST_BYTES = 32
ALIGNMENT = 512
_ARCHIVES = {
    b"\x1f\x8b": ("gzip", "unpack it first: gunzip --keep NAME"),
    b"PK\x03\x04": ("zip", "unpack it first: unzip NAME"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unpack it first: zstd -d NAME"),
    b"\xfd7zXZ\x00": ("xz", "unpack it first: xz -dk NAME"),
}
_AGE = b"age-encr"

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
    if start == _AGE:
        raise UnusableInputError(
            f"{file.path} is encrypted",
            cause="it starts as an age file does",
            hint="decrypt it first, or look into it: keyctl snapshot inspect NAME --identity IDENTITY",
        )
    over = file.size % ALIGNMENT
    if over not in (0, DIGEST_BYTES) or file.size == DIGEST_BYTES:
        raise UnusableInputError(
            f"{file.path} is not a whole snapshot",
            cause=f"its {file.size} bytes are neither whole pages nor whole pages and a SHA-256",
            hint="it was cut, or is still being copied: take the file again",
        )
    return Extent(file.size - over, over > 0)


@contextmanager
def digest_checked(file: DatabaseFile, found: Extent) -> Generator[Callable[[], str]]:
    """Compute the SHA-256 of `file` beside whatever is done within: in a child process, or on a thread.

    What it gives waits for the end and returns the integrity: "sha256-ok", or
    "sha256-absent" where there is none. It raises `UnusableInputError` when the
    digest is not that of the data.
    """
    if not found.has_digest:
        yield lambda: SHA256_ABSENT
    elif is_worth_it(found.length):
        with forked(lambda answer: answer.write(file.sha256(found.length))) as answer:
            # NOTE: a child that someone ended has no answer, and proves no damage.
            yield lambda: _compared(file, found, answer.read() or file.sha256(found.length))
    else:
        stopped = threading.Event()
        with ThreadPoolExecutor(1, thread_name_prefix="sha256") as pool:
            digest = pool.submit(file.sha256, found.length, stopped)
            try:
                yield lambda: _compared(file, found, digest.result())
            finally:
                stopped.set()


def _compared(file: DatabaseFile, found: Extent, digest: bytes) -> str:
    if digest != file[found.length : found.length + DIGEST_BYTES]:
        raise UnusableInputError(
            f"{file.path} is damaged",
            cause="the SHA-256 at its end is not that of the data",
            hint="use another copy",
        )
    return SHA256_OK
