"""etcd may forget a revision while it is read: whoever counts begins anew, and counts values of one revision only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from keyctl.errors import RevisionLostError
from keyctl.rotation.scan import scan
from keyctl.stored.source import JoinedSource, SourceInfo, Value
from keyctl.verify.values import verify
from tests.support import seal
from tests.support.memory_source import MemorySource

KEY = seal.key("key1")
CONFIG = seal.config(KEY)


def secrets(count: int) -> dict[bytes, bytes]:
    names = [f"s{number}" for number in range(count)]
    places = {name: f"/registry/secrets/default/{name}".encode() for name in names}
    return {place: seal.seal(KEY, place, seal.secret(name)) for name, place in places.items()}


class Forgetful:
    """Loses its revision after each of `begun` was delivered in part, and is then read to its end at another one."""

    def __init__(self, begun: list[Mapping[bytes, bytes]], at_last: Mapping[bytes, bytes]) -> None:
        lost = RevisionLostError("etcd no longer has the revision", cause="it was compacted away")
        self._runs = [MemorySource(values, revision=100, batch=2, fails=lost) for values in begun]
        self._runs.append(MemorySource(at_last, revision=200, batch=2))
        self._run = self._runs[0]

    def batches(self, prefix: bytes) -> Iterator[list[Value]]:
        self._run = self._runs.pop(0)
        yield from self._run.batches(prefix)

    def info(self) -> SourceInfo:
        return self._run.info()


def test_a_verdict_counts_nothing_of_the_revision_that_was_lost() -> None:
    plain = {place: seal.secret(f"s{number}") for number, place in enumerate(secrets(5))}
    result = verify(Forgetful([plain, plain], secrets(4)), prefix="/registry", config=CONFIG)
    assert (result.source.revision, result.source.count) == (200, 4)
    assert [(one.resource, one.values, one.plaintext) for one in result.resources] == [("secrets", 4, 0)]


def test_a_scan_of_a_rotation_counts_nothing_of_the_revision_that_was_lost() -> None:
    at_last = secrets(4)
    found = scan(Forgetful([secrets(5)], at_last), prefix="/registry", config=CONFIG)
    assert (found.revision, found.values, found.unreadable) == (200, 4, 0)
    assert found.size == sum(map(len, at_last.values()))


def test_when_one_of_several_etcds_loses_its_revision_all_are_counted_anew() -> None:
    other = {b"/registry/events/default/e": seal.stored("v1", "Event", "e", "default")}
    joined = JoinedSource((MemorySource(other), Forgetful([secrets(5)], secrets(4))))
    assert scan(joined, prefix="/registry", config=CONFIG).values == 5


def test_a_revision_that_is_lost_each_time_stops_the_scan() -> None:
    some = secrets(5)
    with pytest.raises(RevisionLostError):
        verify(Forgetful([some, some, some], some), prefix="/registry", config=CONFIG)
    with pytest.raises(RevisionLostError):
        scan(Forgetful([some, some, some], some), prefix="/registry", config=CONFIG)
