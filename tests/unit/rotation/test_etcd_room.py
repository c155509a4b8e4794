"""Whether etcd has room, and what is done when it has not: wait for a compaction, or stop with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyctl.errors import RefusedError, StoppedError, UnreachableError
from keyctl.etcd.interface import EndpointStatus
from keyctl.rotation.etcd_room import Verdict, judge
from keyctl.rotation.plan import State
from tests.support.sim_parts import SimLease, Watcher
from tests.support.simulator import SimCluster
from tests.unit.rotation.scenes import ROTATE, SCENES, after, assert_done, begin

MAIN = "https://10.0.0.9:2379"
BY_RESTART = SCENES[2]
GB = 1_000_000_000


def member(db_size: int, *, in_use: int = 0, quota: int = 2 * GB, errors: tuple[str, ...] = ()) -> EndpointStatus:
    return EndpointStatus("https://e1:2379", "3.7.3", "c", "m", 1, db_size, quota, in_use, errors=errors)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        pytest.param(member(GB), Verdict.ENOUGH, id="half full"),
        pytest.param(member(int(1.95 * GB)), Verdict.TIGHT, id="nearly full"),
        pytest.param(member(int(1.95 * GB), in_use=GB), Verdict.ENOUGH, id="nearly full of freed pages"),
        pytest.param(member(int(1.95 * GB), in_use=int(1.92 * GB)), Verdict.TIGHT, id="few freed pages"),
        pytest.param(member(int(1.99 * GB), in_use=GB), Verdict.FULL, id="at the quota, freed pages or not"),
        pytest.param(member(3 * GB), Verdict.FULL, id="beyond the quota"),
        pytest.param(member(3 * GB, quota=0), Verdict.ENOUGH, id="a server that tells no quota"),
        pytest.param(member(1, quota=0, errors=("memberID:7 alarm:NOSPACE ",)), Verdict.FULL, id="the alarm"),
        pytest.param(member(GB, errors=("memberID:7 alarm:CORRUPT ",)), Verdict.ENOUGH, id="another alarm"),
    ],
)
def test_room_is_judged_by_the_quota_the_freed_pages_and_the_alarm(status: EndpointStatus, verdict: Verdict) -> None:
    assert judge([status]).verdict is verdict


def test_the_worst_member_decides() -> None:
    assert judge([member(GB), member(int(1.95 * GB)), member(GB)]).verdict is Verdict.TIGHT
    assert judge([member(int(1.95 * GB)), member(3 * GB)]).verdict is Verdict.FULL
    assert judge([]).verdict is Verdict.ENOUGH


def _tighten(cluster: SimCluster, share: float, *, free: float = 0.0) -> None:
    etcd = cluster.etcds[MAIN]
    size = etcd.status()[0].db_size
    etcd.quota, etcd.free = int(size / share), int(size * free)


def test_rewriting_waits_while_etcd_is_nearly_full_and_goes_on_after_a_compaction(tmp_path: Path) -> None:
    cluster, watcher = SimCluster(tmp_path), Watcher()
    etcd = cluster.etcds[MAIN]

    def fill() -> None:
        _tighten(cluster, 0.97)
        cluster.clock.at(200, lambda: setattr(etcd, "free", etcd.status()[0].db_size // 2))

    after(cluster, "journal state rewriting", fill)
    begun = cluster.clock.monotonic()
    begin(cluster.session(watcher=watcher), ROTATE)
    waits = [event.message for event in watcher.events if event.kind == "wait" and "full" in event.message]
    assert len(waits) == 1
    assert cluster.clock.monotonic() - begun > 200
    assert etcd.compacted == 0 or "compact" in cluster.switch.labels, "nobody but ClearHistory compacts"
    assert_done(cluster, BY_RESTART)


def test_without_room_for_a_quarter_of_an_hour_it_stops_with_what_to_do_and_can_go_on(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    after(cluster, "journal state rewriting", lambda: _tighten(cluster, 0.97))
    with pytest.raises(StoppedError, match="nobody has made room for 15 minutes") as caught:
        begin(cluster.session(), ROTATE)
    assert "keyctl sanitize" in " ".join(caught.value.hints)
    cluster.etcds[MAIN].quota = 0
    cluster.session().resume()
    assert_done(cluster, BY_RESTART)


def test_at_the_quota_or_with_the_alarm_it_stops_at_once(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    etcd = cluster.etcds[MAIN]
    after(cluster, "journal state rewriting", lambda: setattr(etcd, "alarm", "memberID:7 alarm:NOSPACE "))
    begun = cluster.clock.monotonic()
    with pytest.raises(StoppedError, match="no room") as caught:
        begin(cluster.session(), ROTATE)
    assert cluster.clock.monotonic() - begun < 300
    assert "NOSPACE" in (caught.value.cause or "")
    assert cluster.under("secrets") == {b"k8s:enc:aescbc:v1:key1"}, "not one patch was sent"
    etcd.alarm = ""
    cluster.session().resume()
    assert_done(cluster, BY_RESTART)


def test_a_full_etcd_is_why_a_rotation_is_refused_before_anything_that_only_follows_from_it(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    cluster.etcds[MAIN].alarm = "memberID:7 alarm:NOSPACE "
    with pytest.raises(RefusedError, match="etcd has no room left") as caught:
        begin(cluster.session(), ROTATE)
    assert caught.value.rule == "preflight"
    assert "NOSPACE" in (caught.value.cause or "")
    assert "keyctl sanitize" in " ".join(caught.value.hints)


def test_what_cannot_be_written_any_more_is_blamed_on_the_alarm_and_not_on_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = SimCluster(tmp_path)
    etcd = cluster.etcds[MAIN]
    with pytest.raises(StoppedError, match="paused"):
        begin(cluster.session(pause_after=State.SWITCHED), ROTATE)
    etcd.alarm = "memberID:7 alarm:NOSPACE "
    with monkeypatch.context() as patch:
        patch.setattr(SimLease, "acquire", _not_written)
        with pytest.raises(StoppedError, match="no room for more revisions: cp1 did not update leases") as caught:
            cluster.session().resume()
        etcd.alarm = ""
        with pytest.raises(UnreachableError, match="cp1 did not update leases"):
            cluster.session().resume()
    assert caught.value.rule == "R15"
    assert caught.value.hints[-1] == "then: keyctl rotate --resume"
    cluster.session().resume()
    assert_done(cluster, BY_RESTART)


def _not_written(_: SimLease) -> None:
    raise UnreachableError("cp1 did not update leases", hint="see the log of that server")
