"""A scan that breaks off: where it goes on, when it must not, and when it gives up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from keyctl.errors import RevisionLostError, UnreachableError, WrongUsageError
from keyctl.etcd.connections import Connections
from keyctl.etcd.rpc import CallError
from keyctl.etcd.scan import LiveSource
from keyctl.stored.source import SourceInfo
from tests.support.scripted_etcd import Answer, Header, Pair, ScriptedEtcd, ScriptedSession, Step, install
from tests.support.sim_clock import SimClock

LOST = CallError("UNAVAILABLE", "Socket closed")
DOWN = CallError("UNAVAILABLE", "connection refused")
NO_STREAMS = CallError("UNIMPLEMENTED", "unknown method RangeStream")
COMPACTED = CallError("OUT_OF_RANGE", "etcdserver: mvcc: required revision has been compacted")
FUTURE = CallError("OUT_OF_RANGE", "etcdserver: mvcc: required revision is a future revision")
EXPIRED = CallError("UNAUTHENTICATED", "etcdserver: invalid auth token")
REFUSED = CallError("PERMISSION_DENIED", "etcdserver: permission denied")
COUNT = 30
# Seconds: three times that of the scripted connections.
PATIENCE = 3.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimClock:
    clock = SimClock()
    monkeypatch.setattr("keyctl.etcd.scan.time", clock)
    return clock


@pytest.fixture
def scripted(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, clock: SimClock
) -> ScriptedEtcd:
    return install(tmp_path_factory.mktemp("tls"), monkeypatch)


def chunk(start: int, stop: int, *, last: bool = False, cluster_id: int = 0xABC) -> Answer:
    pairs = [Pair(b"/r/%02d" % number, b"v", number) for number in range(start, stop)]
    return Answer(pairs, count=stop - start, header=Header(cluster_id), with_header=last)


def page(start: int, stop: int, *, more: bool = True) -> Answer:
    return Answer(chunk(start, stop).kvs, more=more, count=COUNT - start)


def first(*stream: Step, pages: tuple[Step, ...] = ()) -> ScriptedSession:
    """The session that is asked for the revision, and then has this to give."""
    pin = Answer(count=COUNT, header=Header(revision=42))
    return ScriptedSession([pin, *pages], stream=list(stream or [NO_STREAMS]))


def later(*stream: Step, pages: tuple[Step, ...] = ()) -> ScriptedSession:
    """A session that is opened when something broke."""
    return ScriptedSession(list(pages), stream=list(stream or [NO_STREAMS]))


def keys(connections: Connections, revision: int = 0) -> tuple[list[bytes], SourceInfo]:
    source = LiveSource(connections, revision)
    return [key for batch in source.batches(b"/r/") for key, _, _ in batch], source.info()


ALL = [b"/r/%02d" % number for number in range(COUNT)]


def test_a_lost_stream_goes_on_behind_its_last_value_at_the_same_revision(scripted: ScriptedEtcd) -> None:
    second = later(chunk(20, 30, last=True))
    found, info = keys(scripted.connect(first(chunk(0, 10), chunk(10, 20), LOST), second))
    assert found == ALL
    assert second.asked == [{"key": b"/r/19\0", "range_end": b"/r0", "revision": 42}]
    assert (info.revision, info.count) == (42, COUNT)
    assert info.location == "https://etcd1:2379, https://etcd2:2379"


def test_lost_pages_go_on_behind_the_last_value_at_the_same_revision(scripted: ScriptedEtcd) -> None:
    second = later(pages=(page(10, 20), page(20, 30, more=False)))
    found, info = keys(scripted.connect(first(pages=(page(0, 10), LOST)), second))
    assert (found, info.revision) == (ALL, 42)
    asked = second.asked[1]
    assert (asked["key"], asked["revision"], asked["serializable"]) == (b"/r/09\0", 42, True)


def test_a_given_revision_stays_the_same_after_a_break(scripted: ScriptedEtcd) -> None:
    second = later(chunk(10, 30, last=True))
    found, info = keys(scripted.connect(first(chunk(0, 10), LOST), second), revision=7)
    assert (found, info.revision, second.asked[0]["revision"]) == (ALL, 7, 7)


def test_members_of_different_versions_are_read_as_each_can(scripted: ScriptedEtcd) -> None:
    old = later(pages=(page(10, 20), LOST))
    new = later(chunk(20, 30, last=True))
    assert keys(scripted.connect(first(chunk(0, 10), LOST), old, new))[0] == ALL
    assert (old.asked[1]["key"], new.asked[0]["key"]) == (b"/r/09\0", b"/r/19\0")


@pytest.mark.parametrize(
    "error",
    [
        LOST,
        CallError("DEADLINE_EXCEEDED", "nothing arrived for 10 s"),
        CallError("INTERNAL", "Received RST_STREAM with error code 2"),
        CallError("UNKNOWN", "Stream removed"),
        CallError("CANCELLED", "etcdserver: request canceled"),
        CallError("UNAVAILABLE", "etcdserver: server stopped"),
        CallError("FAILED_PRECONDITION", "etcdserver: rpc not supported for learner"),
    ],
    ids=str,
)
@pytest.mark.parametrize("at", [0, 1])
def test_whatever_breaks_a_reading_the_next_endpoint_goes_on(
    scripted: ScriptedEtcd, clock: SimClock, error: CallError, at: int
) -> None:
    begun = (chunk(0, 10),) if at else ()
    found, _ = keys(scripted.connect(first(*begun, error), later(chunk(10 * at, 30, last=True))))
    assert found == ALL
    assert clock.monotonic() == 0


def test_the_only_endpoint_is_asked_again_over_a_new_connection(scripted: ScriptedEtcd) -> None:
    broken = first(chunk(0, 10), LOST)
    found, info = keys(scripted.connect(broken, later(chunk(10, 30, last=True)), endpoints=1))
    assert (found, info.location) == (ALL, "https://etcd1:2379")
    assert broken.closed


def test_an_endpoint_that_is_given_twice_hides_none(scripted: ScriptedEtcd) -> None:
    scripted.sessions = [first(chunk(0, 10), LOST), later(chunk(10, 30, last=True))]
    urls = ("https://etcd1:2379", "https://etcd1:2379", "https://etcd2:2379")
    assert keys(Connections(urls, scripted.tls, timeout=1.0))[0] == ALL
    assert [opened["host"] for opened in scripted.opened] == ["etcd1", "etcd2"]


def test_endpoints_are_waited_for_when_all_are_down(scripted: ScriptedEtcd, clock: SimClock) -> None:
    down = [later(DOWN) for _ in range(4)]
    up = later(chunk(10, 30, last=True))
    assert keys(scripted.connect(first(chunk(0, 10), LOST), *down, up, endpoints=2))[0] == ALL
    assert [opened["host"] for opened in scripted.opened] == ["etcd1", "etcd2"] * 3
    assert 0 < clock.monotonic() < PATIENCE


def test_a_member_that_lags_behind_is_passed_over(scripted: ScriptedEtcd) -> None:
    behind = later(FUTURE)
    found, info = keys(scripted.connect(first(chunk(0, 10), LOST), behind, later(chunk(10, 30, last=True))))
    assert (found, info.revision) == (ALL, 42)
    assert info.location == "https://etcd1:2379, https://etcd3:2379"


def test_a_member_that_lags_behind_is_waited_for_when_there_is_no_other(
    scripted: ScriptedEtcd, clock: SimClock
) -> None:
    sessions = first(chunk(0, 10), LOST), later(FUTURE), later(FUTURE), later(chunk(10, 30, last=True))
    assert keys(scripted.connect(*sessions, endpoints=1))[0] == ALL
    assert clock.monotonic() > 0


def test_a_member_that_never_catches_up_is_said_to_lag(scripted: ScriptedEtcd, clock: SimClock) -> None:
    sessions = [later(FUTURE) for _ in range(20)]
    with pytest.raises(UnreachableError, match="after 10 of 30 values") as caught:
        keys(scripted.connect(first(chunk(0, 10), LOST), *sessions, endpoints=1))
    assert "has not reached revision 42" in (caught.value.cause or "")
    assert clock.monotonic() < 2 * PATIENCE


@pytest.mark.parametrize("broken", [first(chunk(0, 10), COMPACTED), first(pages=(page(0, 10), COMPACTED))])
def test_a_revision_that_is_compacted_away_is_lost_at_once(scripted: ScriptedEtcd, broken: ScriptedSession) -> None:
    other = later(chunk(10, 30, last=True))
    source = LiveSource(scripted.connect(broken, other))
    batches: Iterator[object] = source.batches(b"/r/")
    next(batches)
    with pytest.raises(RevisionLostError, match="no longer has the revision"):
        next(batches)
    assert other.asked == []
    with pytest.raises(RuntimeError):
        source.info()


def test_a_revision_that_was_asked_for_and_is_compacted_away_is_wrong_usage(scripted: ScriptedEtcd) -> None:
    with pytest.raises(WrongUsageError, match="no longer has revision 7"):
        keys(scripted.connect(first(chunk(0, 10), COMPACTED)), revision=7)


def test_a_refusal_on_the_way_is_final(scripted: ScriptedEtcd) -> None:
    other = later(chunk(10, 30, last=True))
    with pytest.raises(UnreachableError, match="refused the request"):
        keys(scripted.connect(first(chunk(0, 10), LOST), later(REFUSED), other, endpoints=3))
    assert other.asked == []


def test_an_expired_token_is_renewed_when_a_reading_goes_on(scripted: ScriptedEtcd) -> None:
    sessions = first(chunk(0, 10), LOST), later(EXPIRED), later(chunk(10, 30, last=True))
    assert keys(scripted.connect(*sessions, user="auditor"))[0] == ALL


@pytest.mark.parametrize(
    "foreign",
    [
        later(chunk(10, 30, last=True, cluster_id=0xBAD)),
        later(pages=(Answer(chunk(10, 30).kvs, header=Header(0xBAD)),)),
    ],
    ids=["stream", "pages"],
)
def test_the_rest_is_not_taken_from_another_cluster(scripted: ScriptedEtcd, foreign: ScriptedSession) -> None:
    with pytest.raises(UnreachableError, match="another cluster") as caught:
        keys(scripted.connect(first(chunk(0, 10), LOST), foreign))
    assert caught.value.cause == "cluster bad, not abc"


def test_it_gives_up_when_nothing_arrives_and_says_of_each_endpoint_why(
    scripted: ScriptedEtcd, clock: SimClock
) -> None:
    silent = CallError("DEADLINE_EXCEEDED", "nothing arrived for 1 s")
    others = [later(error) for _ in range(20) for error in (silent, DOWN)]
    with pytest.raises(
        UnreachableError, match=r"no etcd endpoint answered \(0 of 2\), after 10 of 30 values"
    ) as caught:
        keys(scripted.connect(first(chunk(0, 10), LOST), *others, endpoints=2))
    assert sorted((caught.value.cause or "").splitlines()) == [
        "etcd1:2379 unavailable: connection refused",
        "etcd2:2379 no answer within 1 s",
    ]
    assert PATIENCE < clock.monotonic() < 2 * PATIENCE


def test_the_time_that_the_reader_takes_is_not_held_against_an_endpoint(
    scripted: ScriptedEtcd, clock: SimClock
) -> None:
    sessions = first(chunk(0, 10), LOST), later(chunk(10, 20), LOST), later(chunk(20, 30, last=True))
    found = []
    for batch in LiveSource(scripted.connect(*sessions)).batches(b"/r/"):
        found += [key for key, _, _ in batch]
        clock.advance(1000)
    assert found == ALL


def test_values_that_arrive_renew_the_patience(scripted: ScriptedEtcd, clock: SimClock) -> None:
    down = [later(DOWN) for _ in range(4)]
    sessions = [first(chunk(0, 10), LOST), *down, later(chunk(10, 20), LOST), *down, later(chunk(20, 30, last=True))]
    assert keys(scripted.connect(*sessions, endpoints=1))[0] == ALL
    assert clock.monotonic() > PATIENCE


def test_what_breaks_after_every_value_does_not_go_on_for_ever(scripted: ScriptedEtcd) -> None:
    crumbs = [later(Answer([Pair(b"/r/%04d" % number, b"v")], with_header=False), LOST) for number in range(1000)]
    with pytest.raises(UnreachableError, match="of 30 values"):
        keys(scripted.connect(first(LOST), *crumbs, endpoints=1))
    assert len(scripted.opened) == 100
