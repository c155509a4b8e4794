"""Rewriting at scale: over all servers, at the pace each bears, and what is told of it and what is left."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from keyctl.errors import StoppedError
from keyctl.kube.interface import ObjectRef, Outcome, Patched, Refusal
from keyctl.rotation.etcd_room import Verdict
from keyctl.rotation.patching import Patching, seen_of
from keyctl.rotation.rewriting import Rewriter
from keyctl.rotation.scan import Scan
from keyctl.rotation.sending import Site
from keyctl.stored.census import WorkItem
from tests.support.fake_kube import FakeApiServer, FakeCluster, key_of
from tests.support.sim_clock import SimClock
from tests.support.sim_objects import key_of as etcd_key
from tests.support.sim_parts import Watcher
from tests.support.simulator import SimCluster
from tests.unit.rotation.scenes import ROTATE, SCENES, assert_done, begin

BY_RESTART = SCENES[2]


class Slow(FakeApiServer):
    """Takes `seconds` for a batch of any size, and writes down how many workers came."""

    seconds = 0.5

    def patch_empty(
        self,
        refs: Iterable[ObjectRef],
        *,
        workers: int,
        dry_run: bool = False,
        on_result: Callable[[Patched], None] | None = None,
    ) -> tuple[Patched, ...]:
        asked.append((self.name, workers))
        clock.advance(self.seconds)
        return super().patch_empty(refs, workers=workers, dry_run=dry_run, on_result=on_result)


clock = SimClock()
asked: list[tuple[str, int]] = []


class Place:
    """A site whose raw etcd is what the fake cluster says is stale."""

    def __init__(self, servers: int, objects: int) -> None:
        asked.clear()
        self.cluster, self.watcher, self.journal = FakeCluster(), Watcher(), []
        self.refs = [self.cluster.add("secrets", "shop", f"db-{n:05}", stale=True) for n in range(objects)]
        self.servers = tuple(Slow(f"cp{n}", self.cluster) for n in range(1, servers + 1))
        self.site = Site(
            servers=self.servers,
            served={"secrets": "v1"},
            etcds=(),
            count=self.count,
            write=lambda kind, fields: self.journal.append({"kind": kind, **fields}),
            breathe=lambda: None,
            clock=clock,
            reporter=self.watcher,
            tag="r1",
        )

    journal: list[dict[str, object]]

    def count(self) -> Scan:
        stale = [ref for ref in self.refs if (one := self.cluster.objects.get(key_of(ref))) and one.stale]
        work = tuple(WorkItem(b"", ref.resource, ref.namespace, ref.name, ref.uid, 1) for ref in stale)
        return Scan(1, len(self.refs), 0, (), (), 0, work[:20_000], len(work))

    def run(self) -> None:
        Rewriter(self.site, Patching(self.site)).run()


def test_all_servers_take_their_turns_and_get_more_workers_while_they_bear_it() -> None:
    place = Place(servers=3, objects=6_000)
    for server in place.servers:
        server.seconds = 0.1
    place.run()
    assert place.count().work_total == 0
    names = Counter(name for name, _ in asked)
    assert len(names) == 3
    assert max(names.values()) - min(names.values()) <= 1
    assert max(workers for _, workers in asked) > 8


def test_a_server_that_is_too_busy_is_left_alone_while_the_others_go_on() -> None:
    place = Place(servers=3, objects=3_000)
    busy = place.servers[1]
    for ref in place.refs:
        busy.answers[key_of(ref)] = (429, "too many requests")
    place.run()
    assert place.count().work_total == 0
    names = Counter(name for name, _ in asked)
    assert names["cp2"] < names["cp1"]
    assert min(workers for name, workers in asked if name == "cp2") < 8 <= min(w for n, w in asked if n == "cp1")
    waits = [event for event in place.watcher.events if event.kind == "wait"]
    assert "cp2 is too busy (HTTP 429: too many requests)" in waits[0].message


def test_when_nobody_answers_it_waits_longer_and_longer_and_stops_with_the_reason() -> None:
    place = Place(servers=2, objects=50)
    for server in place.servers:
        server.down = True
    begun = clock.monotonic()
    with pytest.raises(StoppedError) as caught:
        place.run()
    assert clock.monotonic() - begun > 14
    assert "connection refused" in (caught.value.cause or "")
    assert place.journal[-1] == {
        "kind": "refused",
        "left": 50,
        "classes": [{"class": "busy", "by": "", "objects": 50}],
    }


def test_everything_that_is_refused_is_told_by_class_in_events_and_recorded_without_names() -> None:
    place = Place(servers=1, objects=400)
    for number, ref in enumerate(place.refs[:90]):
        message = f'admission webhook "w{number % 2}.test" denied the request: no'
        place.servers[0].answers[key_of(ref)] = (403, message)
    place.servers[0].answers[key_of(place.refs[90])] = (422, 'data[password]: Invalid value: "hunter2"')
    with pytest.raises(StoppedError, match="91 values could not be rewritten") as caught:
        place.run()
    told = [event.fields for event in place.watcher.events if event.kind == "refused"]
    assert [(one["class"], one["by"], one["objects"]) for one in told] == [
        ("webhook-denied", "w0.test", 45),
        ("webhook-denied", "w1.test", 45),
        ("invalid", "", 1),
    ]
    assert all(one["next"] for one in told)
    assert "db-" not in json.dumps(place.journal)
    assert "hunter2" not in json.dumps([caught.value.cause, [dict(one) for one in told], place.journal])


def test_a_value_that_stays_although_nothing_was_refused_is_named() -> None:
    place = Place(servers=1, objects=3)
    with pytest.raises(StoppedError) as caught:
        Rewriter(place.site, _Idle(place.site)).run()
    assert "raw etcd shows it under another key" in (caught.value.cause or "")
    assert "shop/db-00000" in (caught.value.cause or "")


class _Idle(Patching):
    """Sends nothing and has no refusal to tell."""

    def round(self, found: Scan, work: object) -> None:
        """Nothing."""


def test_what_a_batch_tells_the_controller() -> None:
    ref = ObjectRef("secrets", "a", "b", "u")
    sent = [Patched(ref, Outcome.SENT, 1, 200, seconds=second) for second in (0.1, 0.2, 0.9)]
    busy = Patched(ref, Outcome.SLOWER, None, 429, "", Refusal.BUSY, seconds=5.0, retry_after=3.0)
    lost = Patched(ref, Outcome.SLOWER, None, 0, "", Refusal.BUSY)
    seen = seen_of([*sent, busy, lost], 2.0)
    assert (seen.answers, seen.throttled, seen.failed, seen.retry_after) == (5, 1, 1, 3.0)
    assert seen.latency == 0.2
    assert seen_of([lost], 1.0).latency == 0.0


def test_a_conflict_that_never_ends_is_told_as_one(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    cluster.conflicts = {etcd_key("secrets", "default", "db-1"): 10**6}
    with pytest.raises(StoppedError) as caught:
        begin(cluster.session(), ROTATE)
    assert any("somebody changes these objects all the time" in hint for hint in caught.value.hints)
    records = [record for record in cluster.journal().records() if record["kind"] == "refused"]
    assert records[0]["classes"] == [{"class": "conflict", "by": "", "objects": 1}]
    cluster.conflicts.clear()
    cluster.session().resume()
    assert_done(cluster, BY_RESTART)


def test_the_room_in_etcd_is_looked_at_between_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    place, looks = Place(servers=1, objects=2_000), []
    keeper = type(place.site.room())
    monkeypatch.setattr(keeper, "require", lambda self: looks.append(Verdict.ENOUGH))
    place.run()
    assert len(looks) == len(asked) > 3
