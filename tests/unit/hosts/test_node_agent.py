"""What an agent does with what is wanted: it follows the next file of its node, and nothing else."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from keyctl.errors import KeyctlError, RefusedError, UnreachableError, UnusableInputError
from keyctl.hosts.interface import HostFile
from keyctl.hosts.local import LocalHost
from keyctl.hosts.node_agent import Done, Turn
from keyctl.keys.distribution import Wanted
from keyctl.keys.vault.client import Found
from tests.support.hints import wrong_commands
from tests.support.pulled import PLACE, Pulled
from tests.unit.encryption_config.configs import b64
from tests.unit.hosts.test_agent import BOTH, FOREIGN, NEW, OLD, hash_of


@pytest.fixture
def node(tmp_path: Path) -> Pulled:
    made = Pulled(tmp_path)
    made.place(OLD, 0o640)
    return made


def want(node: Pulled, content: bytes, *, replaces: bytes | None = OLD, lets_go: tuple[str, ...] = ()) -> int:
    replaced = None if replaces is None else hash_of(replaces)
    return node.distribution().want(node.server, Wanted(content.decode(), replaced, lets_go))


def reported(node: Pulled) -> Mapping[str, object]:
    found = node.values.read(PLACE.applied("cp1"))
    assert isinstance(found, Found)
    return found.fields


def refused(node: Pulled, kind: type[KeyctlError]) -> KeyctlError:
    """The agent refuses; its file is untouched, the reason is in its report, and nothing else was written."""
    before = node.file.read_bytes() if node.file.exists() else None
    with pytest.raises(kind) as caught:
        node.agent.turn()
    assert (node.file.read_bytes() if node.file.exists() else None) == before
    assert str(caught.value) in str(reported(node)["refused"])
    assert [problem for hint in caught.value.hints for problem in wrong_commands(hint)] == []
    return caught.value


def test_a_node_of_which_nothing_is_wanted_reports_its_file_and_keeps_it(node: Pulled) -> None:
    assert node.agent.turn() == Turn(Done.NOTHING, 0)
    assert node.file.read_bytes() == OLD
    assert (reported(node)["seq"], reported(node)["refused"]) == (0, "")


def test_the_next_file_is_put_in_place_and_then_kept(node: Pulled) -> None:
    want(node, BOTH)
    assert node.agent.turn() == Turn(Done.APPLIED, 1)
    assert (node.file.read_bytes(), stat.S_IMODE(node.file.stat().st_mode)) == (BOTH, 0o640)
    assert node.agent.turn() == Turn(Done.EQUAL, 1)
    assert node.new_agent().turn() == Turn(Done.EQUAL, 1)


def test_what_is_wanted_of_another_server_is_none_of_its_business(node: Pulled) -> None:
    node.distribution().want("cp2", Wanted(NEW.decode(), hash_of(OLD)))
    assert node.agent.turn() == Turn(Done.NOTHING, 1)
    assert node.file.read_bytes() == OLD


def test_nothing_is_reported_twice(node: Pulled) -> None:
    for _ in range(3):
        node.agent.turn()
    assert node.values.writes == [PLACE.applied("cp1")]
    node.place(FOREIGN)
    node.agent.turn()
    assert node.values.writes == [PLACE.applied("cp1")] * 2


def test_a_report_that_somebody_lost_is_made_again_after_a_while(node: Pulled) -> None:
    node.agent.turn()
    node.values.entries.clear()
    node.now += timedelta(minutes=9)
    node.agent.turn()
    assert node.distribution().reported("cp1") is None
    node.now += timedelta(minutes=1)
    node.agent.turn()
    assert node.distribution().reported("cp1") is not None


def test_what_cannot_be_read_is_reported_and_said(node: Pulled) -> None:
    node.manifest.mkdir()
    error = refused(node, RefusedError)
    assert "no regular file" in str(error)
    assert reported(node)["files"] == []


def test_a_report_that_did_not_arrive_is_made_again(node: Pulled, monkeypatch: pytest.MonkeyPatch) -> None:
    want(node, BOTH)
    whole = node.values.write

    def away(path: str, fields: Mapping[str, object], *, cas: int | None) -> int:
        raise UnreachableError("the Vault is sealed")

    monkeypatch.setattr(node.values, "write", away)
    with pytest.raises(UnreachableError):
        node.agent.turn()
    assert node.distribution().reported("cp1") is None
    monkeypatch.setattr(node.values, "write", whole)
    assert node.agent.turn() == Turn(Done.EQUAL, 1)
    assert reported(node)["seq"] == 1


def test_a_file_that_somebody_else_changed_is_left_and_named(node: Pulled) -> None:
    want(node, BOTH)
    node.place(FOREIGN)
    error = refused(node, RefusedError)
    assert error.rule == "R8"
    assert error.cause == f"expected {hash_of(OLD)}, found {hash_of(FOREIGN)}"


def private(node: Pulled) -> bytes:
    assert stat.S_IMODE(node.file.stat().st_mode) == 0o600
    return node.file.read_bytes()


@pytest.mark.parametrize("put", ["applied", "found equal"])
def test_a_file_that_is_gone_comes_back_when_it_is_the_one_that_was_here_and_is_private(node: Pulled, put: str) -> None:
    want(node, BOTH)
    if put == "found equal":
        node.place(BOTH)
    node.agent.turn()
    node.file.unlink()
    node.agent = node.new_agent()
    assert node.agent.turn().done is Done.APPLIED
    assert private(node) == BOTH


@pytest.mark.parametrize("had", [None, OLD, FOREIGN])
def test_a_file_that_is_gone_is_not_replaced_by_another_until_that_is_allowed(node: Pulled, had: bytes | None) -> None:
    if had == FOREIGN:
        want(node, BOTH)
        node.agent.turn()
        node.place(FOREIGN)
        refused(node, RefusedError)
    if had == OLD:
        want(node, OLD, replaces=None)
        node.agent.turn()
        want(node, BOTH)
    if had is None:
        want(node, BOTH)
    node.file.unlink()
    error = refused(node, RefusedError)
    assert "is gone, and what is wanted is not the file that was here" in str(error)
    assert str(error.cause).endswith(hash_of(had) if had else "none that this node remembers")
    assert error.rule == "R8"
    assert "--once --allow-rollback" in error.hints[1]
    assert node.new_agent(allow_rollback=True).turn().done is Done.APPLIED
    assert private(node) == BOTH


def test_the_first_file_ever_is_put_in_place_and_is_private(node: Pulled) -> None:
    node.file.unlink()
    want(node, BOTH, replaces=None)
    assert node.agent.turn().done is Done.APPLIED
    assert private(node) == BOTH


def test_a_file_that_kube_apiserver_would_refuse_is_not_put_in_place(node: Pulled) -> None:
    want(node, b"kind: EncryptionConfiguration\nresources: []\n")
    refused(node, UnusableInputError)


def test_a_file_that_lacks_a_key_which_no_rotation_let_go_of_is_refused(node: Pulled) -> None:
    want(node, NEW)
    error = refused(node, RefusedError)
    assert "lacks aescbc/key1" in str(error)
    assert error.rule == "R3"


def test_a_file_may_lack_what_the_rotation_lets_go_of(node: Pulled) -> None:
    (gone,) = node.opens(OLD, name="x")
    want(node, NEW, lets_go=(gone,))
    assert node.agent.turn().done is Done.APPLIED
    assert node.file.read_bytes() == NEW


def test_no_key_shows_in_what_an_agent_says(node: Pulled) -> None:
    want(node, NEW)
    error = refused(node, RefusedError)
    said = f"{error} {error.cause} {error.hints} {reported(node)['refused']} {node.agent!r}"
    assert b64(1) not in said
    assert b64(2) not in said
    assert b64(2) not in repr(node.distribution().current())
    assert b64(1) not in repr(node.distribution().reported("cp1"))


def test_an_older_rendition_than_was_seen_is_refused_until_it_is_allowed(node: Pulled) -> None:
    want(node, BOTH)
    node.agent.turn()
    want(node, NEW, replaces=BOTH, lets_go=tuple(node.opens(OLD, name="x")))
    node.agent.turn()
    restored = [dict(node.values.held(PLACE.current)[-1])]
    restored[0] |= {"seq": 1, "files": {}}
    node.values.entries[PLACE.current] = list(restored)
    error = refused(node, RefusedError)
    assert "has gone back: it wants rendition 1, and this node has seen 2" in str(error)
    assert (reported(node)["seq"], reported(node)["seen"]) == (1, 2)
    node.agent = node.new_agent()
    refused(node, RefusedError)
    assert node.new_agent(allow_rollback=True).turn() == Turn(Done.NOTHING, 1)
    assert reported(node)["seen"] == 0
    assert node.agent.turn() == Turn(Done.NOTHING, 1)
    assert node.file.read_bytes() == NEW


def test_another_rendition_of_the_same_number_is_refused(node: Pulled) -> None:
    want(node, BOTH)
    node.agent.turn()
    other = dict(node.values.held(PLACE.current)[-1])
    node.values.entries[PLACE.current] = [other | {"files": {}}]
    refused(node, RefusedError)


def test_a_vault_that_has_lost_everything_is_noticed(node: Pulled) -> None:
    want(node, BOTH)
    node.agent.turn()
    node.values.entries.clear()
    assert "rendition 0" in str(refused(node, RefusedError))


def test_what_a_node_remembers_is_private_holds_no_key_and_survives(node: Pulled) -> None:
    want(node, BOTH)
    node.agent.turn()
    assert stat.S_IMODE(node.memory.stat().st_mode) == 0o600
    assert json.loads(node.memory.read_text()).keys() == {"format", "cluster", "seq", "digest", "file"}


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"seq": "x"}', "\0", pytest.param("[" * 200_000, id="deep")])
def test_a_damaged_memory_is_not_taken_for_none(node: Pulled, text: str) -> None:
    want(node, BOTH)
    node.memory.write_text(text)
    assert "what this node remembers is damaged" in str(refused(node, UnusableInputError))


def test_a_node_of_another_cluster_follows_nothing(node: Pulled, tmp_path: Path) -> None:
    want(node, BOTH)
    node.memory.write_text('{"cluster": "other", "seq": 1, "digest": "", "file": ""}')
    assert 'followed cluster "other", not "prod"' in str(refused(node, RefusedError))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": "x"}, "is damaged"),
        ({"seq": "1"}, "is damaged"),
        ({"seq": -1}, "is damaged"),
        ({"files": ["AAEC"]}, "is damaged"),
        ({"files": {"cp1": "AAEC"}}, "is damaged"),
        ({"files": {"cp1": {"text": "\ud800", "replaces": None, "letsGo": [], "inPlace": False}}}, "is damaged"),
        ({"files": {"cp1": {"text": 1, "replaces": None, "letsGo": [], "inPlace": False}}}, "is damaged"),
        ({"files": {"cp1": {"text": "AAEC", "replaces": 5, "letsGo": [], "inPlace": False}}}, "is damaged"),
        ({"files": {"cp1": {"text": "AAEC", "replaces": None, "letsGo": [5], "inPlace": False}}}, "is damaged"),
        ({"cluster": "test"}, 'belongs to cluster "test"'),
        ({"cluster": None}, "is damaged"),
    ],
)
def test_a_damaged_or_foreign_rendition_changes_nothing(node: Pulled, change: dict[str, object], says: str) -> None:
    want(node, BOTH)
    node.values.entries[PLACE.current] = [{**node.values.held(PLACE.current)[-1], **change}]
    error = refused(node, UnusableInputError)
    assert says in str(error)
    assert "AAEC" not in f"{error} {error.cause} {error.hints}"


def test_while_vault_is_away_nothing_is_done_and_afterwards_it_is_made_up_for(node: Pulled) -> None:
    want(node, BOTH)
    node.values.failing = UnreachableError("the Vault is sealed")
    with pytest.raises(UnreachableError, match="is sealed"):
        node.agent.turn()
    assert node.file.read_bytes() == OLD
    node.values.failing = None
    assert node.agent.turn().done is Done.APPLIED


def test_what_a_killed_agent_left_beside_the_file_is_swept_by_the_next(node: Pulled) -> None:
    for name in (".keyctl-enc.yaml.0123456789abcdef", ".keyctl-.enc.yaml.keyctl-agent.0123456789abcdef"):
        node.file.with_name(name).write_bytes(b"half a fi")
    node.agent.turn()
    assert [entry.name for entry in node.file.parent.iterdir()] == ["enc.yaml"]


def test_what_a_write_that_failed_left_beside_the_file_is_swept_at_the_next_look(
    node: Pulled, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = node.file.with_name(".keyctl-enc.yaml.0123456789abcdef")
    whole = LocalHost.write

    def half(host: LocalHost, path: str, content: bytes, *, expected: str | None, in_place: bool = False) -> HostFile:
        if path != node.path:
            return whole(host, path, content, expected=expected, in_place=in_place)
        left.write_bytes(content[:5])
        raise UnreachableError("no space left on device")

    want(node, BOTH)
    monkeypatch.setattr(LocalHost, "write", half)
    refused(node, UnreachableError)
    assert reported(node)["passing"] is True
    assert left.exists()
    monkeypatch.setattr(LocalHost, "write", whole)
    assert node.agent.turn().done is Done.APPLIED
    assert not left.exists()
    assert reported(node)["passing"] is False
