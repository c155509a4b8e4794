"""Where stored values come from: live etcd, a snapshot file, a test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol, runtime_checkable

# A page of stored values: (etcd key, value, mod_revision).
Value = tuple[bytes, bytes, int]


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What was read, known once the last batch was delivered.

    `revision` is the one revision all values belong to, 0 when the source could
    not pin one. `count` is the number of values the source says it holds under
    the prefix: counts in must equal counts out. `integrity` is "sha256-ok",
    "sha256-absent" or None for a live source.
    """

    type: str
    location: str
    revision: int
    cluster_id: str
    count: int
    integrity: str | None = None


class ValueSource(Protocol):
    """Delivers every value under a prefix, at one revision, in bounded memory.

    `batches` raises `UnreachableError` for a transport failure, `UnusableInputError`
    for a damaged file, at any item, and `RevisionLostError` when the revision it was
    reading was compacted away (`WrongUsageError` when the caller had asked for
    it). A generator that ends normally has delivered everything: a truncated
    answer is an error, never a short list.
    """

    def batches(self, prefix: bytes) -> Iterator[list[Value]]:
        """Yield the values whose key starts with `prefix`, each once; a live source in key order."""
        ...

    def info(self) -> SourceInfo:
        """What the last complete run of `batches` read. `RuntimeError` before that."""
        ...


class Area(StrEnum):
    """A place in which values of etcd can lie."""

    LIVE = "live"
    HISTORY = "history"
    FREE_PAGES = "freePages"
    WAL = "wal"
    SNAP_DIR = "snapDir"


class Coverage(StrEnum):
    """Whether an area was looked at; `ABSENT`: this source has none."""

    SCANNED = "scanned"
    NOT_SCANNED = "not-scanned"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Fragment:
    """Something left behind outside of the live values and their history.

    `place` is for a reader: "page 17", "0000000000000001-….wal offset 1234".
    `value` is whole where the record around it was parsed `whole`, and `key` and
    `revision` are known; otherwise it starts at the marker that was found and
    ends at most 64 KiB on.
    """

    area: Area
    place: str
    key: bytes | None
    revision: int | None
    value: bytes = field(repr=False)
    whole: bool


@runtime_checkable
class FileSource(ValueSource, Protocol):
    """A source that lies on disk: it also holds what was overwritten.

    All three raise `UnusableInputError` for a damaged file, at any item.
    """

    def history(self, prefix: bytes) -> Iterator[list[Value]]:
        """Yield every retained value under `prefix` that is not live at the revision that is read."""
        ...

    def fragments(self) -> Iterator[list[Fragment]]:
        """Yield what lies outside of the records, each content once."""
        ...

    def coverage(self) -> Mapping[Area, Coverage]:
        """What this source has, and what of it was read to its end so far."""
        ...


class JoinedSource:
    """Several sources as one, the main one first: its revision and cluster id stand for all."""

    def __init__(self, sources: tuple[ValueSource, ...]) -> None:
        self._sources = sources

    def batches(self, prefix: bytes) -> Iterator[list[Value]]:
        """See `ValueSource.batches`; the values of one source after those of another."""
        for source in self._sources:
            yield from source.batches(prefix)

    def info(self) -> SourceInfo:
        """See `ValueSource.info`; `count` is the sum."""
        infos = [source.info() for source in self._sources]
        return replace(
            infos[0], count=sum(info.count for info in infos), location=", ".join(info.location for info in infos)
        )
