"""A snapshot file sealed to age recipients, and one opened again: streamed, checked, whole or not there.

Knows nothing of etcd or of manifests. The open file is in a private directory that its caller empties.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from keyctl.backup.scratch import scratch_directory
from keyctl.errors import RefusedError, StoppedError, UnusableInputError
from keyctl.etcd import partial
from keyctl.etcd_files.open_file import OpenFile
from keyctl.keys import age_stream
from keyctl.keys.private_files import sync_directory

SUFFIX = ".age"
# What etcd puts behind the database: its SHA-256.
_DIGEST_BYTES = 32
_PIECE = 1 << 20

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Seal:
    """To whom a snapshot is sealed, and the directory below which it may lie open for as long as it is looked at."""

    recipients: tuple[str, ...]
    scratch: Path


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed file that is on the disk: `size` in bytes, its own SHA-256, and (device, inode)."""

    size: int
    sha256: str
    inode: tuple[int, int]


def is_sealed(path: Path) -> bool:
    """Whether `path` is a file that age has encrypted; False where it cannot be read."""
    # NOTE: opening the name of a pipe would wait for a writer for ever.
    # Path.is_file raises where one may not look.
    if not os.path.isfile(path):  # noqa: PTH113
        return False
    try:
        with OpenFile(path) as file:
            return file[0 : len(age_stream.MAGIC)] == age_stream.MAGIC
    except (FileNotFoundError, UnusableInputError):
        return False


def seal_file(plain: Path, path: Path, recipients: Sequence[str], *, sha256: str, progress: Progress) -> Sealed:
    """Seal the snapshot `plain`, whose database has this SHA-256, to the new file `path`, 0600, and read it back.

    `progress` gets (bytes so far, bytes in all). Nothing is left when it fails.

    Raises `RefusedError` where `path` is taken or has no room, before the first byte; `StoppedError` where the disk
    refuses, where `plain` is not what it was, or what was read back is not what was written.
    """
    size = plain.stat().st_size
    _require_room(path, age_stream.room_for(size))
    partial.sweep(path)
    try:
        descriptor, arriving = partial.create(path)
        ours = os.fstat(descriptor)
        inode = ours.st_dev, ours.st_ino
        try:
            with open(descriptor, "w+b", buffering=0) as file:  # noqa: PTH123 — a descriptor, not a path
                digest = _write_sealed(plain, file, recipients, sha256, progress)
                os.fsync(file.fileno())
                written = file.tell()
                _require_same(path, file, digest, size)
            _give_name(arriving, path)
            arriving.unlink(missing_ok=True)
            sync_directory(path.parent)
        except BaseException:
            for left in (path, arriving):
                _remove(left, inode)
            raise
    except OSError as error:
        raise _refused_by_disk(path, error) from error
    return Sealed(written, digest, inode)


def sealed_digest(path: Path, progress: Progress = lambda *_: None) -> tuple[int, str, int]:
    """The size of the sealed file `path`, its SHA-256, and the size of what is in it, as far as shows without a key.

    Raises `UnusableInputError` where it cannot be read or was cut.
    """
    try:
        with OpenFile(path) as file:
            plain = age_stream.plain_size(file[0 : age_stream.HEAD], file.size, name=str(path))
            digest = hashlib.sha256()
            for at in range(0, file.size, _PIECE):
                digest.update(file[at : min(at + _PIECE, file.size)])
                progress(at, file.size)
            return file.size, digest.hexdigest(), plain
    except FileNotFoundError:
        raise UnusableInputError(f"{path} is not there") from None


@contextmanager
def opened(path: Path, identities: bytes | None, scratch: Path, progress: Progress = lambda *_: None) -> Iterator[Path]:
    """The snapshot `path` in the clear: itself, or, where it is sealed, a copy for the time of the work.

    The copy has the same name, in a private directory below `scratch`, and is overwritten before it is removed.

    Raises `RefusedError` where it has no room there, `ForeignIdentityError` where it is sealed to others, and
    `UnusableInputError` where it is sealed and there are no `identities`, or it was cut or changed.
    """
    if not is_sealed(path):
        yield path
        return
    if identities is None:
        raise UnusableInputError(
            f"{path} is encrypted", hint="give the identity of one of its recipients: --identity IDENTITY"
        )
    with private(scratch) as folder:
        copy = folder / path.name
        try:
            _open_into(path, copy, identities, progress)
        except OSError as error:
            raise _no_copy(scratch, error) from error
        yield copy


@contextmanager
def private(scratch: Path) -> Iterator[Path]:
    """A private directory below `scratch` for a snapshot in the clear, emptied in the end.

    Raises `StoppedError` where there can be none, and where what lay in it could not be taken away.
    """
    with ExitStack() as closing:
        try:
            folder = closing.enter_context(scratch_directory(scratch))
        except OSError as error:
            raise _no_copy(scratch, error) from error
        work = closing.pop_all()
    try:
        yield folder
    finally:
        try:
            work.close()
        except OSError as error:
            raise StoppedError(
                f"what lay open in {folder} could not be erased", cause=error.strerror, hint=f"remove {folder}"
            ) from error


def _no_copy(scratch: Path, error: OSError) -> StoppedError:
    return StoppedError(
        f"{scratch} cannot hold a copy of the snapshot", cause=error.strerror, hint="name another one with --scratch"
    )


def _open_into(path: Path, copy: Path, identities: bytes, progress: Progress) -> None:
    with OpenFile(path) as sealed:
        size = age_stream.plain_size(sealed[0 : age_stream.HEAD], sealed.size, name=str(path))
        _require_room(copy, size)
        at = 0

        def read(count: int) -> bytes:
            nonlocal at
            piece = sealed[at : at + (count if count >= 0 else _PIECE)]
            at += len(piece)
            progress(at, sealed.size)
            return piece

        descriptor = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123 — a descriptor, not a path
            age_stream.open_stream(read, file.write, identities, name=str(path))


def _write_sealed(plain: Path, file: BinaryIO, recipients: Sequence[str], sha256: str, progress: Progress) -> str:
    """Seal `plain` into `file`; its SHA-256. Raises `StoppedError` where that of `plain` is another one."""
    size = plain.stat().st_size
    of_plain, of_sealed, done = hashlib.sha256(), hashlib.sha256(), 0

    def write(content: bytes) -> None:
        of_sealed.update(content)
        rest = memoryview(content)
        while rest:
            rest = rest[file.write(rest) :]

    with plain.open("rb") as source:

        def read(count: int) -> bytes:
            nonlocal done
            piece = source.read(count)
            of_plain.update(piece[: max(0, size - _DIGEST_BYTES - done)])
            done += len(piece)
            progress(done, size)
            return piece

        age_stream.seal_stream(read, write, recipients)
    if done != size or of_plain.hexdigest() != sha256:
        raise StoppedError(
            f"the snapshot {plain} changed before it was encrypted",
            cause="its SHA-256 is not that of what etcd sent",
            hint="see to the disk that --scratch is on, and save again; no file was left",
        )
    return of_sealed.hexdigest()


def _require_same(path: Path, file: BinaryIO, sha256: str, plain_size: int) -> None:
    """Raise `StoppedError` where the disk does not give back what was written to it."""
    with suppress(OSError):
        # From the disk and not from memory, where the system lets go of it.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(age_stream.HEAD)
    digest = hashlib.sha256(head)
    while piece := file.read(_PIECE):
        digest.update(piece)
    if digest.hexdigest() != sha256 or age_stream.plain_size(head, size, name=str(path)) != plain_size:
        raise StoppedError(
            f"snapshot {path} is not on the disk as it was written", hint="see to the disk; no file was left"
        )


def _require_room(path: Path, needed: int) -> None:
    try:
        free = shutil.disk_usage(path.parent).free
    except OSError as error:
        raise RefusedError(f"{path.parent} cannot hold a snapshot", cause=error.strerror) from error
    if free < needed:
        raise RefusedError(
            f"{path.parent} has no room for the snapshot",
            cause=f"it needs {needed} bytes, {free} are free",
            hint="give a directory on a larger disk",
        )


def _refused_by_disk(path: Path, error: OSError) -> StoppedError:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            hint = "make room there, or give a path on a larger disk; no file was left"
        case errno.EFBIG:
            hint = "files here may not become that large: raise the limit (ulimit -f); no file was left"
        case _:
            hint = "see to the disk, or give a path on another one; no file was left"
    return StoppedError(f"snapshot {path} could not be written", cause=error.strerror, hint=hint)


def _give_name(arrived: Path, path: Path) -> None:
    """Let `path` name the file, unless something came there meanwhile."""
    taken = RefusedError(f"{path} exists already", hint="give the snapshot a new name")
    try:
        path.hardlink_to(arrived)
    except FileExistsError:
        raise taken from None
    except OSError:
        # A file system without hard links: between the look and the rename there is a moment left.
        if os.path.lexists(path):
            raise taken from None
        arrived.rename(path)


def _remove(path: Path, inode: tuple[int, int]) -> None:
    """Unlink `path` if it names our file. What failed first is what is told."""
    with suppress(OSError):
        status = path.lstat()
        if (status.st_dev, status.st_ino) == inode:
            path.unlink()
