"""What every `Etcd` does with its history, kept by the simulated one and by a real one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from keyctl.errors import RefusedError, StoppedError, UnreachableError, WrongUsageError
from keyctl.etcd.client import EtcdClient
from keyctl.etcd.interface import Etcd
from tests.support.etcd_process import running_etcd
from tests.support.etcd_writer import EtcdWriter
from tests.support.sim_etcd import SimEtcd
from tests.support.sim_kill import Killed, KillSwitch

PREFIX = b"/registry/"


@dataclass(frozen=True)
class Kind:
    """An etcd, and how others write to it: the answer is the revision."""

    etcd: Etcd
    put: Callable[[bytes, bytes], int]


def _simulated(switch: KillSwitch) -> SimEtcd:
    return SimEtcd("one", between_pages=lambda: None, alive=switch.alive, effect=switch.effect)


@contextlib.contextmanager
def _real(folder: Path) -> Iterator[Kind]:
    with (
        running_etcd(folder, trustme.CA()) as running,
        EtcdWriter(running) as writer,
        contextlib.closing(EtcdClient((running.url,), running.tls)) as client,
    ):
        yield Kind(client, lambda key, value: writer.put([(key, value)]))


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.live)])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Kind]:
    if request.param == "simulated":
        etcd = _simulated(KillSwitch())
        yield Kind(etcd, etcd.put)
        return
    with _real(tmp_path) as real:
        yield real


def written(kind: Kind) -> tuple[int, int, int]:
    """The revisions of /registry/a at its first and its second value, and of the newest value."""
    return kind.put(PREFIX + b"a", b"first"), kind.put(PREFIX + b"a", b"second"), kind.put(PREFIX + b"b", b"b")


def read(kind: Kind, revision: int = 0, prefix: bytes = PREFIX) -> list[tuple[bytes, bytes]]:
    return [(key, value) for batch in kind.etcd.source(revision=revision).batches(prefix) for key, value, _ in batch]


def test_compaction_hides_what_stood_before_it_and_nothing_else(kind: Kind) -> None:
    first, second, last = written(kind)
    assert not kind.etcd.is_compacted(first)
    assert read(kind, first) == [(PREFIX + b"a", b"first")]
    kind.etcd.compact(second)
    assert kind.etcd.is_compacted(first)
    assert not kind.etcd.is_compacted(second)
    assert not kind.etcd.is_compacted(last)
    assert read(kind, second) == [(PREFIX + b"a", b"second")]
    assert read(kind) == [(PREFIX + b"a", b"second"), (PREFIX + b"b", b"b")]
    assert kind.etcd.get(PREFIX + b"a") == (b"second", second)
    assert kind.etcd.count(PREFIX) == 2


def test_compaction_makes_no_revision(kind: Kind) -> None:
    *_, last = written(kind)
    kind.etcd.compact(last)
    assert kind.etcd.status()[0].revision == last


def test_compacting_again_or_further_back_changes_nothing(kind: Kind) -> None:
    first, second, last = written(kind)
    kind.etcd.compact(second)
    kind.etcd.compact(second)
    kind.etcd.compact(first)
    assert kind.etcd.is_compacted(first)
    assert not kind.etcd.is_compacted(second)
    kind.etcd.compact(last)
    assert kind.etcd.is_compacted(second)


@pytest.mark.parametrize("prefix", [PREFIX, b"/nothing/"])
def test_a_revision_that_is_gone_or_not_there_yet_cannot_be_read(kind: Kind, prefix: bytes) -> None:
    first, second, last = written(kind)
    kind.etcd.compact(second)
    with pytest.raises(WrongUsageError, match="no longer has revision"):
        read(kind, first, prefix)
    with pytest.raises(WrongUsageError, match="has not reached that revision"):
        read(kind, last + 100, prefix)


def test_a_revision_that_is_not_there_yet_is_no_answer(kind: Kind) -> None:
    *_, last = written(kind)
    with pytest.raises(UnreachableError, match="has not reached revision"):
        kind.etcd.is_compacted(last + 100)
    with pytest.raises(UnreachableError, match="has not reached revision"):
        kind.etcd.compact(last + 100)
    assert not kind.etcd.is_compacted(last)


@pytest.mark.parametrize("revision", [0, -1])
def test_what_is_no_revision_is_a_mistake_of_the_programmer(kind: Kind, revision: int) -> None:
    with pytest.raises(ValueError, match="no revision"):
        kind.etcd.compact(revision)
    with pytest.raises(ValueError, match="no revision"):
        kind.etcd.is_compacted(revision)


def test_a_process_may_end_before_a_simulated_compaction_or_after_it() -> None:
    for before in (True, False):
        switch = KillSwitch()
        etcd = _simulated(switch)
        revision = etcd.put(PREFIX + b"a", b"first")
        switch.new_process(kill_at=1, before=before)
        with pytest.raises(Killed):
            etcd.compact(revision)
        switch.new_process()
        assert etcd.is_compacted(revision - 1) is not before
        assert switch.labels == ([] if before else ["compact"])


def test_a_simulated_etcd_may_forbid_compaction() -> None:
    switch = KillSwitch()
    etcd = _simulated(switch)
    revision = etcd.put(PREFIX + b"a", b"first")
    etcd.forbids_compaction = True
    with pytest.raises(RefusedError, match="does not let us"):
        etcd.compact(revision)
    assert (etcd.is_compacted(revision - 1), switch.labels) == (False, [])


def test_a_simulated_scan_stops_when_others_compact_what_it_reads() -> None:
    etcd = _simulated(KillSwitch())
    for number in range(20):
        etcd.put(PREFIX + b"%02d" % number, b"v")
    batches = iter(etcd.source().batches(PREFIX))
    next(batches)
    etcd.forget_before(etcd.put(PREFIX + b"new", b"v"))
    with pytest.raises(StoppedError, match="no longer has the revision"):
        next(batches)
