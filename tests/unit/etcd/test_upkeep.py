"""Work on one member's file: who is asked, with how much time, and what the answers mean."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from keyctl.errors import RefusedError, UnreachableError
from keyctl.etcd import upkeep
from keyctl.etcd.connections import Connections
from keyctl.etcd.interface import Alarm
from keyctl.etcd.rpc import CallError
from tests.support.scripted_etcd import Answer, ScriptedEtcd, ScriptedSession, install

EXPIRED = CallError("DEADLINE_EXCEEDED", "Deadline Exceeded")
FORBIDDEN = CallError("PERMISSION_DENIED", "etcdserver: permission denied")
COMPACTED = CallError("OUT_OF_RANGE", "etcdserver: mvcc: required revision has been compacted")

Work = Callable[[Connections], None]


def delete(connections: Connections) -> None:
    upkeep.finish_compaction(connections, 7, timeout=300)


def defragment(connections: Connections) -> None:
    upkeep.defragment(connections, timeout=300)


each_work = pytest.mark.parametrize("work", [delete, defragment])


@pytest.fixture
def scripted(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> ScriptedEtcd:
    return install(tmp_path_factory.mktemp("tls"), monkeypatch)


@pytest.mark.parametrize("answer", [Answer(), COMPACTED], ids=["compacted now", "compacted before"])
def test_waiting_for_the_deletion_asks_for_the_physical_compaction_and_takes_the_refusal_for_its_end(
    scripted: ScriptedEtcd, answer: Answer | CallError
) -> None:
    session = ScriptedSession([answer])
    upkeep.finish_compaction(scripted.connect(session), 7, timeout=300)
    assert session.asked == [{"compact": 7, "physical": True, "timeout": 300}]


def test_a_member_is_defragmented_within_the_given_time(scripted: ScriptedEtcd) -> None:
    session = ScriptedSession([Answer()])
    upkeep.defragment(scripted.connect(session), timeout=300)
    assert session.asked == [{"defragment": 300}]


@each_work
def test_a_member_that_takes_longer_goes_on_by_itself_and_is_not_asked_again(
    scripted: ScriptedEtcd, work: Work
) -> None:
    session = ScriptedSession([EXPIRED])
    connections = scripted.connect(session)
    with pytest.raises(UnreachableError, match="has not finished after 300 s") as caught:
        work(connections)
    assert "goes on by itself" in (caught.value.cause or "")
    assert len(session.asked) == 1


def test_who_may_not_defragment_is_refused_with_the_role_that_may(scripted: ScriptedEtcd) -> None:
    with pytest.raises(RefusedError, match="does not let us defragment") as caught:
        upkeep.defragment(scripted.connect(ScriptedSession([FORBIDDEN])), timeout=300)
    assert "root" in caught.value.hints[0]


def test_a_member_that_does_not_answer_is_unreachable(scripted: ScriptedEtcd) -> None:
    session = ScriptedSession([CallError("UNAVAILABLE", "Socket closed")])
    with pytest.raises(UnreachableError, match="could not be reached"):
        upkeep.defragment(scripted.connect(session), timeout=300)


NOSPACE = Alarm("def", "NOSPACE")
NO_ROOM = CallError("RESOURCE_EXHAUSTED", "etcdserver: mvcc: database space exceeded")
LOST = CallError("UNAVAILABLE", "Socket closed")


def test_an_alarm_is_taken_back_by_whoever_answers(scripted: ScriptedEtcd) -> None:
    sessions = ScriptedSession([LOST]), ScriptedSession([Answer()])
    upkeep.disarm(scripted.connect(*sessions), NOSPACE)
    assert sessions[1].asked == [{"disarm": (0xDEF, 1)}]


def test_an_alarm_of_an_unknown_kind_is_not_taken_back(scripted: ScriptedEtcd) -> None:
    session = ScriptedSession([Answer()])
    connections = scripted.connect(session)
    with pytest.raises(ValueError, match="no alarm that is known"):
        upkeep.disarm(connections, Alarm("def", "7"))
    assert session.asked == []


@pytest.mark.parametrize("answers", [[Answer(), Answer()], [Answer(), LOST]], ids=["given back", "not given back"])
def test_writes_are_tried_with_a_lease_that_is_given_back_or_ends_soon(
    scripted: ScriptedEtcd, answers: list[Answer | CallError]
) -> None:
    session = ScriptedSession([*answers])
    assert upkeep.can_write(scripted.connect(session))
    assert session.asked == [{"grant": 30}, {"revoke": 77}]


def test_a_member_without_room_takes_no_writes(scripted: ScriptedEtcd) -> None:
    session = ScriptedSession([NO_ROOM])
    assert not upkeep.can_write(scripted.connect(session))
    assert session.asked == [{"grant": 30}]


def take_back(connections: Connections) -> None:
    upkeep.disarm(connections, NOSPACE)


def write(connections: Connections) -> None:
    upkeep.can_write(connections)


@pytest.mark.parametrize("work", [take_back, write])
def test_who_may_not_is_refused_and_who_cannot_be_reached_is_said_so(scripted: ScriptedEtcd, work: Work) -> None:
    with pytest.raises(RefusedError, match="does not let us"):
        work(scripted.connect(ScriptedSession([FORBIDDEN])))
    with pytest.raises(UnreachableError, match="could not be reached"):
        work(scripted.connect(ScriptedSession([LOST])))


@each_work
def test_work_on_a_file_never_goes_to_whichever_member_answers(scripted: ScriptedEtcd, work: Work) -> None:
    sessions = ScriptedSession([Answer()]), ScriptedSession([Answer()])
    connections = scripted.connect(*sessions)
    with pytest.raises(RuntimeError, match="endpoint alone"):
        work(connections)
    assert [session.asked for session in sessions] == [[], []]
