from __future__ import annotations

from collections.abc import Callable

import pytest

from keyctl.errors import RefusedError, UnreachableError
from keyctl.etcd import history
from keyctl.etcd.connections import Connections
from keyctl.etcd.rpc import CallError
from tests.support.scripted_etcd import Answer, ScriptedEtcd, ScriptedSession, install

COMPACTED = CallError("OUT_OF_RANGE", "etcdserver: mvcc: required revision has been compacted")
FUTURE = CallError("OUT_OF_RANGE", "etcdserver: mvcc: required revision is a future revision")
LATE = CallError("DEADLINE_EXCEEDED", "Deadline Exceeded")
EXPIRED = CallError("UNAUTHENTICATED", "etcdserver: invalid auth token")

each_call = pytest.mark.parametrize("call", [history.compact, history.is_compacted], ids=["compact", "is_compacted"])
Call = Callable[[Connections, int], object]


@pytest.fixture
def scripted(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> ScriptedEtcd:
    return install(tmp_path_factory.mktemp("tls"), monkeypatch)


def test_history_is_compacted_once_and_at_one_endpoint(scripted: ScriptedEtcd) -> None:
    first, second = ScriptedSession([Answer()]), ScriptedSession([])
    history.compact(scripted.connect(first, second), 70)
    assert (first.asked, second.asked) == ([{"compact": 70}], [])


def test_what_is_compacted_already_needs_no_compaction(scripted: ScriptedEtcd) -> None:
    history.compact(scripted.connect(ScriptedSession([COMPACTED])), 70)


def test_a_lost_answer_is_asked_for_at_the_next_endpoint(scripted: ScriptedEtcd) -> None:
    second = ScriptedSession([COMPACTED])
    history.compact(scripted.connect(ScriptedSession([LATE]), second), 70)
    assert second.asked == [{"compact": 70}]


def test_whether_a_revision_is_gone_is_asked_at_that_revision_and_brings_no_value(scripted: ScriptedEtcd) -> None:
    session = ScriptedSession([Answer(), COMPACTED])
    connections = scripted.connect(session)
    assert not history.is_compacted(connections, 70)
    assert history.is_compacted(connections, 69)
    assert [(asked["revision"], asked["count_only"], asked["range_end"]) for asked in session.asked] == [
        (70, True, b""),
        (69, True, b""),
    ]
    assert not any(asked.get("serializable") for asked in session.asked)


@each_call
def test_a_revision_that_is_not_there_yet_is_an_error(scripted: ScriptedEtcd, call: Call) -> None:
    with pytest.raises(UnreachableError, match="etcd1:2379 has not reached revision 70") as caught:
        call(scripted.connect(ScriptedSession([FUTURE])), 70)
    assert caught.value.hints


@each_call
@pytest.mark.parametrize(
    "answer",
    [
        CallError("PERMISSION_DENIED", "etcdserver: permission denied"),
        CallError("INVALID_ARGUMENT", "etcdserver: user name is empty"),
    ],
    ids=["permission", "no user"],
)
def test_without_the_permission_it_is_refused_and_nobody_else_is_asked(
    scripted: ScriptedEtcd, call: Call, answer: CallError
) -> None:
    second = ScriptedSession([])
    with pytest.raises(RefusedError, match="does not let us") as caught:
        call(scripted.connect(ScriptedSession([answer]), second), 70)
    assert (caught.value.cause or "").startswith("authorisation: ")
    assert "root" in caught.value.hints[0]
    assert second.asked == []


@each_call
def test_an_expired_token_is_renewed(scripted: ScriptedEtcd, call: Call) -> None:
    renewed = ScriptedSession([COMPACTED])
    call(scripted.connect(ScriptedSession([EXPIRED]), renewed, user="root"), 70)
    assert len(renewed.asked) == 1


@each_call
def test_without_an_answer_nothing_is_known(scripted: ScriptedEtcd, call: Call) -> None:
    with pytest.raises(UnreachableError, match="could not be reached"):
        call(scripted.connect(ScriptedSession([LATE])), 70)


@each_call
@pytest.mark.parametrize("revision", [0, -1])
def test_a_revision_that_etcd_would_take_for_now_is_never_asked(
    scripted: ScriptedEtcd, call: Call, revision: int
) -> None:
    with pytest.raises(ValueError, match="no revision"):
        call(scripted.connect(ScriptedSession([Answer()])), revision)
    assert scripted.opened == []
