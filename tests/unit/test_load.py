"""What a load of the accidents takes for a fault, and what it does not; without any server."""

from __future__ import annotations

import base64
import json
from typing import cast

import pytest

from keyctl.lab.topology import Server
from tests.museum.load import Load, Loaded, Tracked
from tests.museum.talk import contents_of, is_fault

CP1 = Server("cp1", "127.0.0.1", 1, "cp1", "10.99.0.1")


@pytest.fixture
def load() -> Load:
    class NoServers:
        @property
        def seeded(self) -> object:
            return self

        lab = topology = property(lambda self: self)
        servers = (CP1,)

    return Load(cast("Loaded", NoServers()))


def secret(content: str, name: str = "one") -> bytes:
    data = {"content": base64.b64encode(content.encode()).decode()}
    return json.dumps({"kind": "Secret", "metadata": {"name": name}, "data": data}).encode()


@pytest.mark.parametrize(
    ("status", "said", "fault"),
    [
        pytest.param(500, b"Internal error occurred: no matching prefix found", True, id="an unknown key"),
        pytest.param(500, b"unable to transform key: output array was not large enough", True, id="another key"),
        pytest.param(503, b"unable to transform key", True, id="whatever the code"),
        pytest.param(500, b"etcdserver: unable to transform", True, id="whatever else is said"),
        pytest.param(500, b"it is broken", True, id="what nobody knows"),
        pytest.param(500, b"etcdserver: leader changed", False, id="no leader"),
        pytest.param(
            500, b"rpc error: code = Unavailable desc = error reading from server: EOF", False, id="no member"
        ),
        pytest.param(504, b"Timeout: request did not complete within requested timeout", False, id="late"),
        pytest.param(503, b"apiserver is shutting down", False, id="on its way down"),
        pytest.param(403, b"not yet ready to handle request", False, id="on its way up"),
        pytest.param(0, b"", False, id="no answer"),
    ],
)
def test_an_error_that_no_server_may_give_is_told_from_one_of_a_server_or_etcd_that_is_away(
    status: int, said: bytes, *, fault: bool
) -> None:
    assert is_fault(status, said) is fault


def test_the_contents_of_an_object_and_of_a_list_are_read() -> None:
    items = [json.loads(secret("a")), {"kind": "Secret", "metadata": {"name": "empty"}}]
    answer = json.dumps({"kind": "SecretList", "metadata": {}, "items": items}).encode()
    assert dict(contents_of(answer)) == {"one": "a", "empty": ""}
    assert dict(contents_of(secret("b"))) == {"one": "b"}


@pytest.mark.parametrize(
    ("status", "answer", "right"),
    [
        pytest.param(200, secret("second"), True, id="acknowledged last"),
        pytest.param(200, secret("third"), True, id="sent and not answered"),
        pytest.param(200, secret("first"), False, id="older than that"),
        pytest.param(200, secret("never sent"), False, id="never sent"),
        pytest.param(404, b"{}", False, id="gone"),
    ],
)
def test_what_is_read_must_be_the_last_acknowledged_content_or_one_sent_since(
    load: Load, status: int, answer: bytes, *, right: bool
) -> None:
    one = Tracked("secrets", "one", [None, "first", "second", "third"], 2)
    load._judge(CP1, one.name, status, answer, one.possible(one.settled))
    assert (load.reads, len(load.faults)) == (int(right), int(not right))


def test_a_value_that_cannot_be_read_is_a_fault_and_a_member_that_is_away_is_none(load: Load) -> None:
    load._judge(CP1, "one", 500, b"etcdserver: request timed out", {"x"})
    assert load.faults == []
    load._judge(CP1, "one", 500, b"unable to transform key", {"x"})
    assert len(load.faults) == 1
    assert load.reads == 0


def test_at_the_end_lost_changed_risen_and_unknown_objects_are_named(load: Load) -> None:
    load._all = [
        Tracked("secrets", "right", [None, "a"], 1),
        Tracked("secrets", "unsure", [None, "a", None], 1),
        Tracked("secrets", "lost", [None, "a"], 1),
        Tracked("secrets", "changed", [None, "a", "b"], 2),
        Tracked("secrets", "risen", [None, "a", None], 2),
        Tracked("configmaps", "another kind", [None, "a"], 1),
    ]
    stored = {"right": "a", "changed": "a", "risen": "a", "unknown": "a"}
    told = list(load._compare("secrets", stored))
    assert [line.partition("/")[2].split()[0] for line in told] == ["lost", "changed", "risen", "unknown"]


def test_a_write_is_settled_by_an_answer_and_never_repeated_without_one(load: Load) -> None:
    one = Tracked("secrets", "one", [None, "a"])
    assert load._note(CP1, one, 201, b"")
    assert (one.settled, load.changes, list(load._idle)) == (1, 1, [one])
    other = Tracked("secrets", "other", [None, "a"])
    assert not load._note(CP1, other, 0, b"")
    assert (other.settled, load.uncertain, list(load._idle)) == (0, 1, [one])
    gone = Tracked("secrets", "gone", [None, "a", "b"], 1)
    assert not load._note(CP1, gone, 404, b"not found")
    assert len(load.faults) == 1
