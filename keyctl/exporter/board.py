"""The last truth of each source, and how old it is. Pure: knows no clock; who looked says when.

A look that fails takes nothing away and makes nothing younger. Each source is written by one thread, and read by any.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from keyctl.exporter import catalogue
from keyctl.exporter.catalogue import Family, Source


@dataclass(frozen=True, slots=True)
class Sample:
    """One number: of `family`, with the values of its labels in their order."""

    family: Family
    labels: tuple[str, ...]
    value: float

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.family.labels):
            raise ValueError(f"{self.family.name} has labels {self.family.labels}, not {len(self.labels)} of them")


@dataclass(frozen=True, slots=True)
class Look:
    """What came of one look: `samples`, or None where it failed. Times in Unix seconds.

    `period` is how long after its beginning the next one begins.
    """

    began: float
    ended: float
    took: float
    period: float
    samples: tuple[Sample, ...] | None


@dataclass(frozen=True, slots=True)
class _Kept:
    samples: tuple[Sample, ...] = ()
    success: float | None = None
    last: Look | None = None
    looks: int = 0
    failures: int = 0


class Board:
    """What is served: the newest samples of each of `sources`, and what there is to know of their age."""

    def __init__(self, sources: tuple[Source, ...], *, cluster: str, version: str) -> None:
        self._kept = {source: _Kept() for source in sources}
        self._info = Sample(catalogue.INFO, (cluster, version), 1)

    def note(self, source: Source, look: Look) -> None:
        """Take what came of a look at `source`."""
        kept = replace(self._kept[source], last=look, looks=self._kept[source].looks + 1)
        if look.samples is None:
            self._kept[source] = replace(kept, failures=kept.failures + 1)
        else:
            self._kept[source] = replace(kept, samples=look.samples, success=look.began)

    def is_up(self, source: Source) -> bool:
        """Whether the last look at `source` came to its end."""
        last = self._kept[source].last
        return last is not None and last.samples is not None

    def samples(self) -> Iterator[Sample]:
        """Everything, as it is now."""
        yield self._info
        for source, kept in self._kept.items():
            yield from _ages(source, kept)
            yield from kept.samples


def _ages(source: Source, kept: _Kept) -> Iterator[Sample]:
    name, last = (str(source),), kept.last
    yield Sample(catalogue.UP, name, last is not None and last.samples is not None)
    yield Sample(catalogue.LOOKS, name, kept.looks)
    yield Sample(catalogue.FAILURES, name, kept.failures)
    if kept.success is not None:
        yield Sample(catalogue.LAST_SUCCESS, name, kept.success)
    if last is not None:
        yield Sample(catalogue.LAST_ATTEMPT, name, last.ended)
        yield Sample(catalogue.DURATION, name, last.took)
        yield Sample(catalogue.PERIOD, name, last.period)
