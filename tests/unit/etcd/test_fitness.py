"""From which member a snapshot is taken: one that knows what the cluster holds, and sends it to its end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from keyctl.errors import RefusedError, UnreachableError
from keyctl.etcd.maintenance import save_snapshot
from keyctl.etcd.rpc import CallError
from tests.support.hints import wrong_hints
from tests.support.scripted_etcd import Answer, Chunk, Header, ScriptedEtcd, ScriptedSession, Status, Step, install
from tests.unit.etcd.test_maintenance import DATA, DIGEST, DOWN, WHOLE, fit

TIMEOUT = CallError("DEADLINE_EXCEEDED", "nothing arrived for 10 s")


@pytest.fixture
def scripted(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> ScriptedEtcd:
    return install(tmp_path_factory.mktemp("tls"), monkeypatch)


def well() -> ScriptedSession:
    return ScriptedSession(fit(), blobs=list(WHOLE))


def ill(*unary: Step) -> ScriptedSession:
    return ScriptedSession(list(unary), blobs=[AssertionError("it was copied")])


def corrupt(member: str) -> Status:
    return Status(errors=[f"{member}alarm:CORRUPT"])


STALE: list[Step] = [Status(Header(revision=90)), Answer(header=Header(revision=100)), Status(Header(revision=90))]
UNFIT = [
    pytest.param(lambda: ill(Status(leader=0)), "follows no leader", id="no leader"),
    pytest.param(lambda: ill(corrupt("memberID:3567  ")), "alarm CORRUPT", id="corrupt"),
    pytest.param(lambda: ill(corrupt("")), "alarm CORRUPT", id="one of them is corrupt"),
    pytest.param(lambda: ill(*STALE), "at revision 90, the cluster at 100", id="stale"),
    pytest.param(lambda: ill(Status(), TIMEOUT), "no linearizable read", id="no majority"),
]


@pytest.mark.parametrize(("make", "words"), UNFIT)
def test_a_member_that_may_not_hold_what_the_cluster_holds_is_passed_over(
    scripted: ScriptedEtcd, tmp_path: Path, make: Callable[[], ScriptedSession], words: str
) -> None:
    saved = save_snapshot(scripted.connect(make(), well()), tmp_path / "s.db")
    assert saved.member is not None
    assert saved.member.endpoint == "https://etcd2:2379"
    assert saved.path.read_bytes() == DATA + DIGEST


@pytest.mark.parametrize(("make", "words"), UNFIT)
def test_where_every_member_is_like_that_none_is_copied_and_each_is_named(
    scripted: ScriptedEtcd, tmp_path: Path, make: Callable[[], ScriptedSession], words: str
) -> None:
    connections = scripted.connect(make(), ill(DOWN), make())
    with pytest.raises(RefusedError, match="no snapshot is taken") as caught:
        save_snapshot(connections, tmp_path / "s.db")
    cause = caught.value.cause or ""
    assert [line.split(":")[0] for line in cause.splitlines() if words in line] == ["etcd1", "etcd3"]
    assert "etcd at etcd2:2379 could not be reached" in cause
    assert list(tmp_path.iterdir()) == []
    assert wrong_hints(caught.value.hints) == []


@pytest.mark.parametrize("error", ["memberID:9  alarm:CORRUPT", "memberID:3567  alarm:NOSPACE"])
def test_an_alarm_against_another_member_or_for_want_of_space_does_not_stand_against_it(
    scripted: ScriptedEtcd, tmp_path: Path, error: str
) -> None:
    answers: list[Step] = [Status(errors=[error]), Answer(), Status(errors=[error])]
    saved = save_snapshot(scripted.connect(ScriptedSession(answers, blobs=list(WHOLE))), tmp_path / "s.db")
    assert saved.size == 4128


@pytest.mark.parametrize(
    "end", [TIMEOUT, DOWN, Chunk(0, DIGEST)], ids=["it hangs", "it goes away", "it is not what it announced"]
)
def test_a_stream_that_breaks_is_begun_anew_from_the_next_member(
    scripted: ScriptedEtcd, tmp_path: Path, end: Step
) -> None:
    breaks = ScriptedSession(fit(), blobs=[WHOLE[0], end])
    seen: list[int] = []
    saved = save_snapshot(scripted.connect(breaks, well()), tmp_path / "s.db", lambda done, _: seen.append(done))
    assert saved.path.read_bytes() == DATA + DIGEST
    assert saved.member is not None
    assert saved.member.endpoint == "https://etcd2:2379"
    assert seen[-3:] == [3000, 4096, 4128]
    assert list(tmp_path.iterdir()) == [saved.path]


def test_where_every_stream_breaks_it_is_said_of_each_how_far_it_came(scripted: ScriptedEtcd, tmp_path: Path) -> None:
    sessions = [ScriptedSession(fit(), blobs=[Chunk(1_000_000, b"x" * 2_000_000), error]) for error in (TIMEOUT, DOWN)]
    with pytest.raises(UnreachableError, match="no member of etcd sent a whole snapshot") as caught:
        save_snapshot(scripted.connect(*sessions), tmp_path / "s.db")
    assert (caught.value.cause or "").splitlines() == [
        "the snapshot from etcd at etcd1:2379 broke off after 2.0 of 3.0 MB: "
        "deadline exceeded: nothing arrived for 10 s",
        "the snapshot from etcd at etcd2:2379 broke off after 2.0 of 3.0 MB: unavailable: Socket closed",
    ]
    assert caught.value.hints
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", [0, 1, 2, 3], ids=["status", "read", "status again", "stream"])
def test_a_refusal_is_told_as_what_it_is(scripted: ScriptedEtcd, tmp_path: Path, place: int) -> None:
    denied = CallError("PERMISSION_DENIED", "etcdserver: permission denied")
    answers = [*fit()[:place], denied] if place < 3 else fit()
    with pytest.raises(UnreachableError, match="refused the request"):
        save_snapshot(scripted.connect(ScriptedSession(answers, blobs=[denied]), well()), tmp_path / "s.db")
