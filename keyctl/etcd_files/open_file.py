"""One file, read where it is sliced. Never mapped, so that it may shrink or go while etcd runs; never written."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Self

from keyctl.errors import UnusableInputError

# gzip, zip, zstd, xz, bzip2, lz4, 7z, compress, lzip, lzop, rar, snappy, lzma; and what is encrypted as a file
_MAGICS = (
    b"\x1f\x8b",
    b"PK\x03\x04",
    b"\x28\xb5\x2f\xfd",
    b"\xfd7zXZ\0",
    b"BZh",
    b"\x04\x22\x4d\x18",
    b"7z\xbc\xaf",
    b"\x1f\x9d",
    b"LZIP",
    b"\x89LZO",
    b"Rar!\x1a\x07",
    b"\xff\x06\x00\x00sNaPpY",
    b"\x5d\x00\x00",
    b"age-encryption.org/",
    b"-----BEGIN AGE",
    b"-----BEGIN PGP",
    b"Salted__",
)
_LONGEST_MAGIC = max(map(len, _MAGICS))
_PACKED = (".gz", ".tgz", ".zip", ".zst", ".xz", ".txz", ".bz2", ".lz4", ".7z", ".lzma", ".lzo", ".br", ".z", ".lz")
_SUFFIXES = frozenset((*_PACKED, ".rar", ".sz", ".age", ".gpg", ".pgp", ".asc"))


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

    def filled(self, start: int, end: int, longest: int) -> Iterator[tuple[int, int]]:
        """Yield the bounds of what is left of the bytes from `start` to `end` without holes of `longest` bytes or more.

        Where the file system knows no holes, that is all of them.
        """
        begin = at = start
        while at < end:
            hole = self._seek(at, os.SEEK_HOLE, end)
            data = self._seek(hole, os.SEEK_DATA, end) if hole < end else end
            if data - hole >= longest:
                if hole > begin:
                    yield begin, hole
                begin = data
            at = data
        if begin < end:
            yield begin, end

    def _seek(self, at: int, how: int, end: int) -> int:
        try:
            return min(os.lseek(self._descriptor, at, how), end)
        except OSError:
            # Nothing of the kind comes behind `at`.
            return end

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def _unreadable(self, error: OSError) -> UnusableInputError:
        return _unreadable(self.path, error)


def is_compressed(file: OpenFile) -> bool:
    """Whether `file` begins or is named as compressed or encrypted ones are: a search of it would say nothing."""
    return file[0:_LONGEST_MAGIC].startswith(_MAGICS) or file.path.suffix.lower() in _SUFFIXES


def regular_files(folder: Path) -> list[Path]:
    """The files in `folder` by name, nothing below it. Raises `UnusableInputError` when it cannot be read."""
    try:
        return [Path(entry.path) for entry in _entries(folder) if entry.is_file()]
    except FileNotFoundError as error:
        raise _unreadable(folder, error) from error


def all_files(folder: Path, followed: Container[Path] = ()) -> tuple[list[Path], list[Path]]:
    """The files in `folder` and below it, and the links to folders, of which only those in `followed` are.

    Raises `UnusableInputError` when a folder cannot be read; one that was removed meanwhile has no files.
    """
    files: list[Path] = []
    links: list[Path] = []
    pending = [folder]
    while pending:
        with suppress(FileNotFoundError):
            for entry in _entries(pending.pop()):
                path = Path(entry.path)
                if entry.is_file():
                    files.append(path)
                elif entry.is_dir():
                    (links if entry.is_symlink() and path not in followed else pending).append(path)
    return sorted(files), sorted(links)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=attrgetter("name"))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _unreadable(folder, error) from error


def _unreadable(path: Path, error: OSError) -> UnusableInputError:
    return UnusableInputError(
        f"{path} cannot be read", cause=error.strerror, hint="run as a user who may read etcd's files"
    )
