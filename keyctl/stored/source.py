"""Where stored values come from: live etcd, a snapshot file, a test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

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
    for a damaged file, at any item, and `StoppedError` when the revision it was
    reading was compacted away (`WrongUsageError` when the caller had asked for
    it). A generator that ends normally has delivered everything: a truncated
    answer is an error, never a short list.
    """

    def batches(self, prefix: bytes) -> Iterator[list[Value]]:
        """Yield the values whose key starts with `prefix`, in key order."""
        ...

    def info(self) -> SourceInfo:
        """What the last complete run of `batches` read. `RuntimeError` before that."""
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
