"""The host of a rotation whose file an agent fetches: nothing is done before the agent says that it is."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest

from keyctl.errors import RefusedError, StoppedError, UnreachableError, UnusableInputError
from keyctl.hosts.interface import HostFile, HostUnreachableError
from keyctl.hosts.local import LocalHost
from keyctl.keys.distribution import Report, ReportedFile
from tests.support.hints import wrong_commands
from tests.support.pulled import NOW, PLACE, Pulled
from tests.unit.encryption_config.configs import entry, file, static

OLD = file(entry("secrets", static("key1", 1)))
BOTH = file(entry("secrets", static("key1", 1), static("key2", 2)))
NEW = file(entry("secrets", static("key2", 2)))
FOREIGN = file(entry("secrets", static("key9", 9)))


def hash_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


@pytest.fixture
def node(tmp_path: Path) -> Pulled:
    made = Pulled(tmp_path)
    made.place(OLD, 0o640)
    return made


def test_a_file_is_written_when_the_agent_has_reported_it(node: Pulled) -> None:
    written = node.host.write(node.path, BOTH, expected=hash_of(OLD))
    assert (written.content, written.sha256, written.mode) == (BOTH, hash_of(BOTH), 0o640)
    assert node.file.read_bytes() == BOTH
    assert node.errors == []


def test_the_manifest_is_reported_and_never_written(node: Pulled) -> None:
    assert node.host.read(str(node.manifest)) is None
    node.manifest.write_bytes(b"kind: Pod\n")
    found = node.host.read(str(node.manifest))
    assert found is not None
    assert found.content == b"kind: Pod\n"
    with pytest.raises(RefusedError, match=r"writes .*enc\.yaml only") as caught:
        node.host.write(str(node.manifest), b"other", expected=found.sha256)
    assert caught.value.rule == "R13"
    assert node.distribution().current() is None


def test_room_is_what_the_agent_reports(node: Pulled) -> None:
    free = node.host.free_bytes(node.path)
    assert free is not None
    assert free > 0


def test_an_agent_that_stands_still_stops_the_rotation_and_is_named_with_what_to_do(node: Pulled) -> None:
    node.turn()
    node.running = False
    with pytest.raises(StoppedError, match=r"host cp1: its agent has not taken up the change .* within 30 s") as caught:
        node.host.write(node.path, BOTH, expected=hash_of(OLD))
    assert node.file.read_bytes() == OLD
    assert node.clock > 30
    assert [problem for hint in caught.value.hints for problem in wrong_commands(hint)] == []
    assert any("keyctl rotate --resume" in hint for hint in caught.value.hints)
    assert caught.value.cause == "it last reported at 2026-11-21T10:00:05+00:00"


def test_an_agent_that_comes_back_within_the_wait_is_waited_for(node: Pulled) -> None:
    node.turn()
    node.running = False

    def come_back() -> None:
        node.running = node.clock > 20

    node.before_turn = come_back
    assert node.host.write(node.path, BOTH, expected=hash_of(OLD)).content == BOTH


def test_a_report_of_an_earlier_rendition_proves_nothing(node: Pulled) -> None:
    """It tells of the very file that is wanted; but its agent has not seen that it is wanted again."""
    node.turn()
    node.running = False
    earlier = Report("cp1", 0, (ReportedFile(node.path, BOTH, 0o600),), "", NOW.isoformat())
    node.before_turn = lambda: node.distribution().report(earlier) if node.distribution().current() else None
    with pytest.raises(StoppedError, match="has not taken up the change"):
        node.host.write(node.path, BOTH, expected=hash_of(OLD))


def test_a_report_from_before_what_was_seen_already_is_a_standbys_and_not_believed(node: Pulled) -> None:
    node.host.write(node.path, BOTH, expected=hash_of(OLD))
    node.running = False
    old = Report("cp1", 0, (ReportedFile(node.path, OLD, 0o600),), "", NOW.isoformat())
    (new,) = node.values.held(PLACE.applied("cp1"))
    node.distribution().report(old)

    def catch_up() -> None:
        if node.clock > 1:
            node.values.entries[PLACE.applied("cp1")] = [new]

    node.before_turn = catch_up
    found = node.host.read(node.path)
    assert found is not None
    assert found.content == BOTH
    node.before_turn = lambda: None
    node.distribution().report(old)
    begun = node.clock
    found = node.host.read(node.path)
    assert found is not None
    assert found.content == OLD, "a Vault that has gone back for good is not waited for any longer"
    assert node.clock - begun < 5


def test_what_an_agent_refuses_stops_the_rotation_at_once_with_its_reason(node: Pulled) -> None:
    node.turn()
    node.before_turn = lambda: node.place(FOREIGN) if node.distribution().current() else None
    with pytest.raises(StoppedError, match="does not put the new") as caught:
        node.host.write(node.path, BOTH, expected=hash_of(OLD))
    assert "somebody else changed" in str(caught.value.cause)
    assert node.clock == 0
    assert node.file.read_bytes() == FOREIGN


def failing_writes(node: Pulled, monkeypatch: pytest.MonkeyPatch, *, until: float) -> None:
    """The disk of the node takes no file before `until`."""
    whole = LocalHost.write

    def write(host: LocalHost, path: str, content: bytes, *, expected: str | None, in_place: bool = False) -> HostFile:
        if path == node.path and node.clock < until:
            raise UnreachableError("no space left on device")
        return whole(host, path, content, expected=expected, in_place=in_place)

    monkeypatch.setattr(LocalHost, "write", write)


def test_what_failed_on_the_node_and_its_next_turn_mends_is_waited_for(
    node: Pulled, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_writes(node, monkeypatch, until=20)
    assert node.host.write(node.path, BOTH, expected=hash_of(OLD)).content == BOTH
    assert 20 <= node.clock < 30


def test_what_goes_on_failing_on_the_node_is_said_with_its_reason(
    node: Pulled, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_writes(node, monkeypatch, until=3600)
    with pytest.raises(StoppedError, match="does not put the new") as caught:
        node.host.write(node.path, BOTH, expected=hash_of(OLD))
    assert caught.value.cause == "no space left on device"
    assert node.clock > 30
    assert node.file.read_bytes() == OLD


def test_a_file_that_the_rotation_did_not_expect_is_not_asked_for(node: Pulled) -> None:
    with pytest.raises(RefusedError, match="somebody else changed") as caught:
        node.host.write(node.path, NEW, expected=hash_of(BOTH))
    assert caught.value.rule == "R8"
    assert node.distribution().current() is None


def test_what_a_file_lets_go_of_is_said_to_the_agent_and_nothing_more(node: Pulled) -> None:
    node.host.write(node.path, BOTH, expected=hash_of(OLD))
    current = node.distribution().current()
    assert current is not None
    assert current.files["cp1"].lets_go == ()
    node.host.write(node.path, NEW, expected=hash_of(BOTH))
    current = node.distribution().current()
    assert current is not None
    assert len(current.files["cp1"].lets_go) == 1
    assert (current.seq, current.files["cp1"].replaces) == (2, hash_of(BOTH))


def test_no_file_is_asked_for_that_kube_apiserver_would_refuse(node: Pulled) -> None:
    with pytest.raises(UnusableInputError):
        node.host.write(node.path, b"kind: Nonsense\n", expected=hash_of(OLD))
    assert node.distribution().current() is None


def test_an_agent_that_never_reported_is_a_host_that_nobody_gets_to(tmp_path: Path) -> None:
    node = Pulled(tmp_path)
    node.running = False
    with pytest.raises(HostUnreachableError, match="its agent has never reported") as caught:
        node.host.read(node.path)
    assert caught.value.hints == ("start it on that node: keyctl agent --server cp1",)
    assert wrong_commands(caught.value.hints[0]) == []


def test_an_agent_that_keeps_another_file_is_told_from_one_without_a_file(node: Pulled) -> None:
    with pytest.raises(HostUnreachableError, match=r"does not report /etc/enc\.yaml") as caught:
        node.host.read("/etc/enc.yaml")
    assert node.path in str(caught.value.cause)


def test_an_agent_that_cannot_read_its_file_says_why(node: Pulled) -> None:
    node.file.unlink()
    node.file.symlink_to("elsewhere")
    with pytest.raises(HostUnreachableError, match="could not read") as caught:
        node.host.read(node.path)
    assert "symbolic link" in str(caught.value.cause)
    assert wrong_commands(caught.value.hints[0]) == []


def test_what_was_published_and_never_applied_is_taken_back_before_a_rotation_goes_on(node: Pulled) -> None:
    node.turn()
    node.running = False
    with pytest.raises(StoppedError):
        node.host.write(node.path, BOTH, expected=hash_of(OLD))
    with pytest.raises(StoppedError, match="has not taken up"):
        node.host.sweep(node.path)
    node.agent, node.running = node.new_agent(), True
    assert node.host.sweep(node.path) == ()
    node.turn()
    assert node.file.read_bytes() == OLD
    assert node.errors == []
    current = node.distribution().current()
    assert current is not None
    assert current.files == {}


def test_what_was_applied_before_it_could_be_taken_back_is_seen(node: Pulled) -> None:
    node.turn()
    node.running = False
    with pytest.raises(StoppedError):
        node.host.write(node.path, BOTH, expected=hash_of(OLD))
    node.turn()
    node.host.sweep(node.path)
    found = node.host.read(node.path)
    assert found is not None
    assert found.content == BOTH
    current = node.distribution().current()
    assert current is not None
    assert current.files["cp1"].sha256 == hash_of(BOTH)


def test_where_nothing_is_outstanding_no_agent_is_waited_for(node: Pulled) -> None:
    node.running = False
    assert node.host.sweep(node.path) == ()
    node.running = True
    node.host.write(node.path, BOTH, expected=hash_of(OLD))
    node.running = False
    assert node.host.sweep(node.path) == ()
    assert node.host.sweep(str(node.manifest)) == ()


def test_a_vault_that_is_away_is_said_as_it_is(node: Pulled) -> None:
    node.turn()
    node.values.failing = UnreachableError("the Vault is sealed")
    for act in (
        lambda: node.host.read(node.path),
        lambda: node.host.write(node.path, BOTH, expected=hash_of(OLD)),
        lambda: node.host.sweep(node.path),
    ):
        with pytest.raises(UnreachableError, match="is sealed"):
            act()
    assert node.file.read_bytes() == OLD


def test_nothing_is_removed_or_restarted_by_an_agent(node: Pulled) -> None:
    with pytest.raises(RefusedError, match="is to be removed"):
        node.host.remove(node.path, expected=hash_of(OLD))
    with pytest.raises(StoppedError, match="its agent restarts nothing") as caught:
        node.host.restart()
    assert [problem for hint in caught.value.hints for problem in wrong_commands(hint)] == []
    assert node.file.read_bytes() == OLD


@pytest.mark.parametrize("minutes", [26, -26])
def test_a_report_that_is_not_of_now_is_no_report_of_the_file_as_it_is(node: Pulled, minutes: int) -> None:
    node.turn()
    node.running = False
    node.today += timedelta(minutes=minutes)
    for act in (
        lambda: node.host.read(node.path),
        lambda: node.host.free_bytes(node.path),
        lambda: node.host.write(node.path, BOTH, expected=hash_of(OLD)),
    ):
        with pytest.raises(HostUnreachableError, match="what its agent last reported is not of now") as caught:
            act()
        assert str(caught.value.cause).startswith("by the clock of its node that was at 2026-11-21T10:00:05+00:00, and")
        assert "systemctl status keyctl-agent" in caught.value.hints[0]
    assert node.distribution().current() is None


@pytest.mark.parametrize("minutes", [24, -24])
def test_an_agent_that_missed_one_report_or_whose_clock_is_off_by_minutes_is_believed(
    node: Pulled, minutes: int
) -> None:
    node.turn()
    node.running = False
    node.today += timedelta(minutes=minutes)
    found = node.host.read(node.path)
    assert found is not None
    assert found.content == OLD


def test_two_servers_share_one_rendition_and_neither_loses_the_others_file(tmp_path: Path) -> None:
    one = Pulled(tmp_path / "one")
    two = Pulled(tmp_path / "two", values=one.values, server="cp2")
    for node in (one, two):
        node.file.parent.parent.mkdir()
        node.place(OLD)
        node.host.write(node.path, BOTH, expected=hash_of(OLD))
    current = one.distribution().current()
    assert current is not None
    assert {name: wanted.sha256 for name, wanted in current.files.items()} == dict.fromkeys(
        ("cp1", "cp2"), hash_of(BOTH)
    )
    one.turn()
    assert one.errors == []
    assert one.values.entries.keys() == {PLACE.current, PLACE.applied("cp1"), PLACE.applied("cp2")}


def test_of_what_is_wanted_and_reported_no_older_version_is_kept(node: Pulled) -> None:
    node.host.write(node.path, BOTH, expected=hash_of(OLD))
    node.host.write(node.path, NEW, expected=hash_of(BOTH))
    for path in (PLACE.current, PLACE.applied("cp1")):
        (held,) = node.values.held(path)
        assert "key1" not in repr(held)
