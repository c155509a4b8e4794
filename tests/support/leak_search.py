"""Every file below some folders, searched for keys: what was searched, and what was found where no key belongs."""

from __future__ import annotations

import mmap
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.leak_needles import Hit, Needles

_HEAD = 4096


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key belongs: in files whose path ends as `path` says (a regular expression), right after `before`.

    `before` is matched against the end of what precedes the key. A `private` one is so only where nobody but the owner
    may use the file. `forms` are those that the key has there. A file that has `never` near its beginning is none.
    """

    path: str
    before: bytes
    reason: str
    forms: tuple[str, ...] = ("base64",)
    private: bool = False
    never: bytes = b""

    def has(self, path: Path, content: memoryview, hit: Hit) -> bool:
        """Whether `hit` in `content`, the file at `path`, is one of these."""
        preceding = content[max(0, hit.offset - 100) : hit.offset].tobytes()
        return (
            hit.encoding in self.forms
            and re.search(f"{self.path}$", path.as_posix()) is not None
            and re.search(self.before + rb"\Z", preceding) is not None
            and not (self.private and path.stat().st_mode & 0o077)
            and not (self.never and re.search(self.never, content[:_HEAD].tobytes()))
        )


@dataclass(frozen=True, slots=True)
class Leak:
    """A key where none belongs. The bytes themselves are not kept."""

    path: Path
    encoding: str
    offset: int

    def __str__(self) -> str:
        return f"{self.path}: a key, {self.encoding}, at byte {self.offset}"


@dataclass(slots=True)
class Searched:
    """What a search has seen. `allowed` counts keys by the reason for which they may be where they are."""

    files: int = 0
    size: int = 0
    unread: list[str] = field(default_factory=list)
    allowed: Counter[str] = field(default_factory=Counter)
    leaks: list[Leak] = field(default_factory=list)


def search(folders: Iterable[Path], needles: Needles, places: Iterable[Place]) -> Searched:
    """Search every regular file below `folders` once, whatever number of names it has."""
    searched, seen, allowed = Searched(), set[tuple[int, int]](), tuple(places)
    for path in _files(folders, searched):
        try:
            status = path.lstat()
            if not stat.S_ISREG(status.st_mode) or (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            _search_file(path, needles, allowed, searched)
        except FileNotFoundError:
            # What a server removes while it ends.
            continue
        except OSError as error:
            searched.unread.append(f"{path}: {error.strerror}")
    return searched


def _files(folders: Iterable[Path], searched: Searched) -> Iterator[Path]:
    def unread(error: OSError) -> None:
        searched.unread.append(f"{error.filename}: {error.strerror}")

    for folder in folders:
        for directory, _, names in os.walk(folder, onerror=unread):
            yield from (Path(directory, name) for name in names)


def _search_file(path: Path, needles: Needles, places: tuple[Place, ...], searched: Searched) -> None:
    with path.open("rb") as file:
        searched.files += 1
        if not os.fstat(file.fileno()).st_size:
            return
        parts = tuple(_written(file.fileno()))
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as content:
            for start, stop in parts:
                searched.size += stop - start
                with content[start:stop] as part:
                    for hit in needles.found_in(part):
                        _judge(path, content, Hit(hit.encoding, start + hit.offset, hit.length), places, searched)


def _judge(path: Path, content: memoryview, hit: Hit, places: tuple[Place, ...], searched: Searched) -> None:
    place = next((place for place in places if place.has(path, content, hit)), None)
    if place is None:
        searched.leaks.append(Leak(path, hit.encoding, hit.offset))
    else:
        searched.allowed[place.reason] += 1


def _written(descriptor: int) -> Iterator[tuple[int, int]]:
    """The parts of a file that were ever written: what lies between is nothing, and may be terabytes of it."""
    size, start = os.fstat(descriptor).st_size, 0
    while start < size:
        try:
            start = os.lseek(descriptor, start, os.SEEK_DATA)
        except OSError:
            return
        stop = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, stop
        start = stop
