"""Files that only their owner may use: checked, written through to the disk, locked, and erased.

Knows nothing of keys. What others can read is refused, never repaired; a file
is 0600 from its creation on. Raises `OSError` where the file system does.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from keyctl.errors import UnreachableError, UnusableInputError

LOCK_SECONDS = 10.0


def create_directories(directory: Path) -> None:
    """Create `directory` and its missing parents, 0700 whatever the umask."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    for path in reversed(missing):
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
            sync_directory(path.parent)


def require_private(path: Path) -> None:
    """Raise `UnusableInputError` when anybody but the owner may use `path`, or it is a symbolic link."""
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        raise UnusableInputError(f"{path} is a symbolic link", hint="name the real place in keys.directory")
    if status.st_mode & 0o077:
        raise UnusableInputError(
            f"{path} can be used by others than its owner",
            cause=f"its mode is {stat.S_IMODE(status.st_mode):04o}",
            hint=f"chmod {'700' if stat.S_ISDIR(status.st_mode) else '600'} {path}",
        )


def read(path: Path) -> bytes:
    """The content of the private file `path`."""
    require_private(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def read_lines(path: Path, *, repair: bool) -> bytes:
    """The whole lines of an append-only file, empty when there is none; with `repair` a torn last one is cut off."""
    if not path.exists():
        return b""
    content = read(path)
    whole = content.rfind(b"\n") + 1
    if repair and whole != len(content):
        # The last append was cut off, so nobody was told that it had happened.
        _truncate(path, whole)
    return content[:whole]


def append(path: Path, line: bytes) -> None:
    """Add `line` to an append-only file, on the disk before this returns."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    write_and_close(descriptor, line)
    sync_directory(path.parent)


def erase(path: Path) -> None:
    """Overwrite `path` where it lies, once, and then remove it; each on the disk before the next.

    Other names of the same file lose their content too. What the medium keeps of
    the old blocks (flash, snapshots of a volume, backups) is out of reach here.
    """
    require_private(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    write_and_close(descriptor, bytes(os.fstat(descriptor).st_size))
    path.unlink()
    sync_directory(path.parent)


def write_and_close(descriptor: int, content: bytes) -> None:
    """Write all of `content` through to the disk, and close `descriptor` whatever happens."""
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def place(path: Path, content: bytes) -> None:
    """Put `content` in the place of `path`: written beside it, synced, renamed, so that no reader finds half of it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    write_and_close(descriptor, content)
    draft.replace(path)
    # NOTE: the directory may be as new as the file, and its own name must outlive a power cut too.
    for directory in (path.parent, path.parent.parent):
        sync_directory(directory)


def is_gone(path: Path) -> bool:
    """Whether nothing has the name `path`, for certain: a directory that cannot be looked into may hold it still."""
    try:
        path.lstat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def sync_directory(directory: Path) -> None:
    """Make the names in `directory` durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the exclusive lock on `path`, waiting a bounded time for it."""
    with _waiting_for(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), fcntl.LOCK_EX, path):
        yield


@contextmanager
def unchanged(path: Path) -> Iterator[None]:
    """Keep those away who would take the lock on `path`, and write nothing: where there is no such file, nobody did."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield
        return
    with _waiting_for(descriptor, fcntl.LOCK_SH, path):
        yield


@contextmanager
def _waiting_for(descriptor: int, lock: int, path: Path) -> Iterator[None]:
    try:
        deadline = time.monotonic() + LOCK_SECONDS
        while not _try_lock(descriptor, lock):
            if time.monotonic() > deadline:
                raise UnreachableError(
                    f"the key store {path.parent} is in use by another process",
                    cause=f"its lock was held for {LOCK_SECONDS:.0f} s",
                    hint="wait for the other run to end",
                )
            time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, lock: int) -> bool:
    try:
        fcntl.flock(descriptor, lock | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _truncate(path: Path, length: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    try:
        os.ftruncate(descriptor, length)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
