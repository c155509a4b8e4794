"""Where stored values come from: live etcd, a snapshot file, a test."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol, runtime_checkable

# (etcd key, value, mod_revision).
Value = tuple[bytes, bytes, int]

# Where a value lies among bytes: where its revision begins (eight bytes, big-endian), where its key begins and ends,
# where the value itself begins and ends.
PLACE = struct.Struct("=5Q")
_REVISION = struct.Struct(">Q")


def taken(content: bytes, place: tuple[int, ...]) -> Value:
    """The value that lies in `content` at `place`, copied."""
    at, key_at, key_end, value_at, value_end = place
    return content[key_at:key_end], content[value_at:value_end], _REVISION.unpack_from(content, at)[0]


@dataclass(frozen=True, slots=True)
class Packed:
    """Values that were left where they were read: whoever only counts them need not copy them.

    `stretches` are bytes and the places in them, a `PLACE` for each value.
    Going through it gives the values one by one.
    """

    stretches: tuple[tuple[bytes, bytes], ...] = field(repr=False)

    def __len__(self) -> int:
        return sum(len(places) for _, places in self.stretches) // PLACE.size

    def __iter__(self) -> Iterator[Value]:
        return (taken(content, place) for content, places in self.stretches for place in PLACE.iter_unpack(places))


# What a source delivers at a time.
Batch = list[Value] | Packed


def keys_outside(batch: Batch, root: bytes) -> Iterator[bytes]:
    """The keys in `batch` that do not start with `root`; nothing else is copied."""
    if not isinstance(batch, Packed):
        yield from (key for key, _, _ in batch if not key.startswith(root))
        return
    for content, places in batch.stretches:
        starts = content.startswith
        for _, at, end, _, _ in PLACE.iter_unpack(places):
            if not starts(root, at, end):
                yield content[at:end]


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

    def batches(self, prefix: bytes) -> Iterator[Batch]:
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


# What the end of a value says that it was. Only Secrets end in a way of their own, and their type may be any text:
# what ends in one that no Secret is known to have may be a Secret or not.
SECRETS, OTHER_THAN_SECRETS, PERHAPS_SECRETS = "secrets", "*.*", "*"


@dataclass(frozen=True, slots=True)
class Fragment:
    """Something left behind outside of the live values and their history.

    `place` is for a reader: "page 17", "0000000000000001-….wal offset 1234".
    `value` is whole where the record around it was parsed `whole`, and `key` and
    `revision` are known; otherwise it starts at the marker that was found and
    ends at most 64 KiB on. A value whose beginning is lost has no marker; its
    end tells what it is a `tail_of`: `SECRETS`, `OTHER_THAN_SECRETS` or `PERHAPS_SECRETS`.
    """

    area: Area
    place: str
    key: bytes | None
    revision: int | None
    value: bytes = field(repr=False)
    whole: bool
    tail_of: str = ""


@dataclass(frozen=True, slots=True)
class Remark:
    """What a reader has to know of an area: what in it was not read, or cannot be told apart. `text` is one line."""

    area: Area
    text: str


@runtime_checkable
class FileSource(ValueSource, Protocol):
    """A source that lies on disk: it also holds what was overwritten.

    The first two raise `UnusableInputError` for a damaged file, at any item.
    """

    def history(self, prefix: bytes) -> Iterator[Batch]:
        """Yield every retained value under `prefix` that is not live at the revision that is read."""
        ...

    def fragments(self) -> Iterator[list[Fragment]]:
        """Yield what lies outside of the records, each content once."""
        ...

    def coverage(self) -> Mapping[Area, Coverage]:
        """What this source has, and what of it was read to its end so far."""
        ...

    def remarks(self) -> Sequence[Remark]:
        """What the last run of `fragments` met that is no value; none before its end."""
        ...


class JoinedSource:
    """Several sources as one, the main one first: its revision and cluster id stand for all."""

    def __init__(self, sources: tuple[ValueSource, ...]) -> None:
        self._sources = sources

    def batches(self, prefix: bytes) -> Iterator[Batch]:
        """See `ValueSource.batches`; the values of one source after those of another."""
        for source in self._sources:
            yield from source.batches(prefix)

    def info(self) -> SourceInfo:
        """See `ValueSource.info`; `count` is the sum."""
        infos = [source.info() for source in self._sources]
        return replace(
            infos[0], count=sum(info.count for info in infos), location=", ".join(info.location for info in infos)
        )
