"""`keyctl keys`: what is listed, what is asked, and what is said of a destruction or a deactivation."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keyctl.cli import main, wiring
from keyctl.cli.wiring import RotationParts
from keyctl.cluster_file.settings import ClusterSettings, FileKeySettings
from keyctl.errors import ExitCode
from keyctl.keys.backups import Backup, BackupKind, Proof, Proven
from keyctl.keys.file_store import FileKeyStore
from keyctl.keys.key import Key, KeyRef, Provider
from keyctl.keys.ledger import Moment
from tests.support.hints import wrong_hints
from tests.support.sim_texts import KEY_0, KEY_1, configuration
from tests.support.simulator import SimCluster
from tests.unit.cli.test_wiring import settings

SNAPSHOT = Backup(BackupKind.SNAPSHOT, "/backup/a.db", "2026-11-21T10:00:00+00:00", 90, (KEY_0.ref,), "ab" * 32)
HISTORY = Backup(BackupKind.HISTORY, "https://10.9.9.9:2379", "2026-11-21T10:00:00+00:00", 99, (KEY_0.ref, KEY_1.ref))


ESCROW = Backup(
    BackupKind.ESCROW,
    "/mnt/keys.age",
    "2026-11-21T10:00:00+00:00",
    0,
    (KEY_0.ref,),
    "cd" * 32,
    fingerprints=((KEY_0.ref, KEY_0.fingerprint),),
    tested=Proven("2026-11-21T11:00:00+00:00", Proof.OPENED),
)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimCluster:
    """Behind the cluster file trial.yaml there is a simulated cluster, whose store has a key that nothing needs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    settings(tmp_path)
    simulated = SimCluster(tmp_path / "simulated")
    simulated.store_keys.put(KEY_0, origin="imported")
    simulated.store_keys.note_state(KEY_0.ref, "deactivated")
    simulated.switch.labels.clear()
    build = wiring.rotation_parts

    def parts(given: ClusterSettings) -> RotationParts:
        state = simulated.journal().path.parent
        return replace(build(given), world=simulated.world(), state_directory=state)

    monkeypatch.setattr(wiring, "rotation_parts", parts)
    return simulated


def destroy(*arguments: str) -> int:
    return main.run(["keys", "destroy", "--cluster", "trial.yaml", *arguments])


def answering(monkeypatch: pytest.MonkeyPatch, answer: str) -> list[str]:
    """A terminal at which the user gives `answer`; the questions are collected."""
    asked: list[str] = []

    def prompt(text: str) -> str:
        asked.append(text)
        return answer

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.termui.visible_prompt_func", prompt)
    return asked


def off_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)


def test_with_yes_the_key_is_destroyed_and_named_with_its_fingerprint(
    cluster: SimCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert destroy("aescbc:key0", "--yes") == ExitCode.OK
    assert capsys.readouterr().out == f"aescbc/key0, fingerprint {KEY_0.fingerprint}, is destroyed\n"
    assert cluster.store_keys.get(KEY_0.ref) is None


def test_a_dry_run_looks_everywhere_and_changes_nothing(
    cluster: SimCluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    off_a_terminal(monkeypatch)
    assert destroy("aescbc:key0", "--dry-run") == ExitCode.OK
    told = capsys.readouterr().out
    assert told == f"aescbc/key0, fingerprint {KEY_0.fingerprint}, would be destroyed; nothing was changed\n"
    assert cluster.switch.labels == []
    cluster.etcds["https://10.0.0.9:2379"].put(b"/registry/secrets/a/b", b"k8s:enc:aescbc:v1:key0:" + bytes(64))
    assert destroy("aescbc:key0", "--dry-run", "--yes") == ExitCode.REFUSED
    assert "live values stand under it: 1 (1 of secrets)" in capsys.readouterr().err
    assert cluster.switch.labels == []


def test_every_reason_is_told_with_a_hint_that_works(cluster: SimCluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.store_keys.note_backup(SNAPSHOT)
    cluster.store_keys.note_backup(HISTORY)
    cluster.store_keys.note_state(KEY_0.ref, "active")
    assert destroy("aescbc:key0", "--yes") == ExitCode.REFUSED
    told = capsys.readouterr().err
    assert "error: key aescbc/key0 is not destroyed [R4]\ncause: it is active" in told
    assert "the snapshot /backup/a.db" in told
    assert wrong_hints([told]) == []
    assert told.count("hint: ") == 3


def test_a_backup_that_is_given_up_is_named_and_forgotten(
    cluster: SimCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.store_keys.note_backup(SNAPSHOT)
    assert destroy("aescbc:key0", "--yes", "--forget-backup", "/backup/a.db") == ExitCode.OK
    assert capsys.readouterr().out.endswith(", is destroyed (without regard to /backup/a.db)\n")
    assert cluster.store_keys.backups() == ()


def test_off_a_terminal_silence_is_no_consent_and_nothing_is_looked_at(
    cluster: SimCluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    off_a_terminal(monkeypatch)
    monkeypatch.setattr(wiring, "rotation_parts", lambda _: pytest.fail("something was built"))
    assert destroy("aescbc:key0") == ExitCode.REFUSED
    assert "hint: say --yes, or --dry-run" in capsys.readouterr().err


def test_on_a_terminal_the_user_is_asked_by_fingerprint(
    cluster: SimCluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.store_keys.note_backup(SNAPSHOT)
    asked = answering(monkeypatch, "y")
    assert destroy("aescbc:key0", "--forget-backup", "/backup/a.db") == ExitCode.OK
    assert len(asked) == 1
    told = capsys.readouterr()
    assert f"Destroy aescbc/key0, fingerprint {KEY_0.fingerprint}?" in asked[0] + told.err
    assert "The backup /backup/a.db will be forgotten." in told.err
    assert cluster.store_keys.get(KEY_0.ref) is None


@pytest.mark.parametrize("answer", ["n", ""])
def test_no_and_enter_leave_the_key(cluster: SimCluster, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    asked = answering(monkeypatch, answer)
    assert destroy("aescbc:key0") == ExitCode.INTERRUPTED
    assert asked
    assert cluster.switch.labels == []


def test_the_end_of_input_leaves_the_key(cluster: SimCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(text: str) -> str:
        raise EOFError

    answering(monkeypatch, "")
    monkeypatch.setattr("click.termui.visible_prompt_func", gone)
    assert destroy("aescbc:key0") == ExitCode.INTERRUPTED
    assert cluster.switch.labels == []


def test_nobody_is_asked_about_a_key_that_is_needed(cluster: SimCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.store_keys.note_backup(SNAPSHOT)
    asked = answering(monkeypatch, "y")
    assert destroy("aescbc:key0") == ExitCode.REFUSED
    assert asked == []


def test_a_key_that_is_not_there_and_an_etcd_that_is_down_have_their_own_codes(
    cluster: SimCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert destroy("aescbc:nobody", "--yes") == ExitCode.UNUSABLE
    assert destroy("aescbc/nobody", "--yes") == ExitCode.UNUSABLE, "as messages name a key"
    assert wrong_hints([capsys.readouterr().err]) == []
    cluster.etcds["https://10.0.0.9:2379"].down = True
    assert destroy("aescbc:key0", "--yes") == ExitCode.UNREACHABLE
    assert cluster.switch.labels == []


@pytest.mark.parametrize("key", ["key0", "aescbc", "aescbc:", "aescbc/", "kms:key0", "identity:", ":key0"])
def test_what_names_no_key_is_wrong_usage(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["keys", "destroy", key, "--yes"]) == ExitCode.USAGE
    assert "PROVIDER:NAME" in capsys.readouterr().err


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileKeyStore:
    """The key store of the cluster file trial.yaml, empty."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    given = settings(tmp_path, kubernetes=None, keys={"store": "file", "directory": "keys"})
    assert isinstance(given.keys, FileKeySettings)
    clock = datetime(2026, 11, 21, 10, tzinfo=UTC)
    return FileKeyStore(given.keys.directory, cluster="trial", clock=lambda: clock)


def listed(*arguments: str) -> int:
    return main.run(["keys", "list", "--cluster", "trial.yaml", *arguments])


def test_an_empty_store_is_said_to_be_one(store: FileKeyStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert listed() == ExitCode.OK
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == f"no key was ever put into the key store {store.location}\n"
    assert listed("-o", "json") == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["keys"] == []


def fill(store: FileKeyStore) -> None:
    store.put(KEY_0, origin="imported")
    store.put(KEY_1, origin="generated")
    store.note_state(KEY_0.ref, "deactivated")
    store.note_backup(SNAPSHOT)
    store.note_backup(HISTORY)


def test_each_key_is_listed_with_what_needs_it(store: FileKeyStore, capsys: pytest.CaptureFixture[str]) -> None:
    fill(store)
    assert listed() == ExitCode.OK
    heads, first, second = capsys.readouterr().out.splitlines()
    assert heads.split() == ["KEY", "STATE", "SINCE", "FINGERPRINT", "ORIGIN", "ESCROW", "MAY", "BE", "NEEDED", "BY"]
    assert first.split(maxsplit=6) == [
        "aescbc:key0",
        "deactivated",
        "2026-11-21T10:00:00+00:00",
        KEY_0.fingerprint,
        "imported",
        "no",
        "a.db, history of https://10.9.9.9:2379",
    ]
    assert second.split(maxsplit=6)[1::5] == ["pre-activation", "history of https://10.9.9.9:2379"]
    assert len({line.index(word) for line, word in ((heads, "MAY BE"), (first, "a.db"), (second, "history"))}) == 1


def test_a_key_that_nothing_needs_and_a_strange_name_stay_on_one_line(
    store: FileKeyStore, capsys: pytest.CaptureFixture[str]
) -> None:
    store.put(Key(Provider.AESCBC, "a\nb\x1b[2J", bytes(32)), origin="imported")
    assert listed() == ExitCode.OK
    _, line = capsys.readouterr().out.splitlines()
    assert line.startswith("aescbc:a\\nb\\x1b[2J ")
    assert line.endswith(" imported  no      -")


def test_the_json_has_every_key_and_every_backup_and_no_bytes(
    store: FileKeyStore, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(store)
    first, last = Moment(40, "2026-11-20T10:00:00+00:00"), Moment(80, "2026-11-21T09:00:00+00:00")
    store.note_writes(KEY_0.ref, first=first, last=last)
    store.note_backup(ESCROW)
    assert listed("-o", "json") == ExitCode.OK
    text = capsys.readouterr().out
    document = json.loads(text)
    assert (document["apiVersion"], document["kind"]) == ("keyctl/v1", "KeyList")
    assert document["keys"][0] == {
        "provider": "aescbc",
        "name": "key0",
        "state": "deactivated",
        "since": "2026-11-21T10:00:00+00:00",
        "fingerprint": KEY_0.fingerprint,
        "origin": "imported",
        "history": [
            {"state": "active", "at": "2026-11-21T10:00:00+00:00"},
            {"state": "deactivated", "at": "2026-11-21T10:00:00+00:00"},
        ],
        "firstWrite": {"revision": 40, "at": "2026-11-20T10:00:00+00:00"},
        "lastWrite": {"revision": 80, "at": "2026-11-21T09:00:00+00:00"},
        "neededBy": ["/backup/a.db", "https://10.9.9.9:2379"],
        "escrows": ["/mnt/keys.age"],
    }
    assert document["backups"][1] == {
        "kind": "history",
        "location": "https://10.9.9.9:2379",
        "at": "2026-11-21T10:00:00+00:00",
        "revision": 99,
        "needs": ["aescbc:key0", "aescbc:key1"],
        "fingerprints": {},
        "keyIds": [],
        "sha256": None,
        "tested": None,
    }
    (escrow,) = document["escrows"]
    assert (escrow["holds"], escrow["tested"]["proof"]) == (["aescbc:key0"], "opened")
    assert document["backups"][0]["sha256"] == "ab" * 32
    assert "AAEC" not in text


def test_a_destroyed_key_is_needed_by_nothing_any_more(store: FileKeyStore, capsys: pytest.CaptureFixture[str]) -> None:
    fill(store)
    store.destroy(KEY_0.ref, judged=store.backups())
    assert listed() == ExitCode.OK
    _, destroyed, other = capsys.readouterr().out.splitlines()
    assert destroyed.endswith(" imported   -       -")
    assert other.endswith(" history of https://10.9.9.9:2379")
    assert listed("-o", "json") == ExitCode.OK
    document = json.loads(capsys.readouterr().out)
    assert [len(key["neededBy"]) for key in document["keys"]] == [0, 1]
    assert document["backups"][0]["needs"] == ["aescbc:key0"], "the register itself is shown as it is"


def test_a_key_is_named_on_the_command_line_as_the_list_names_it(
    cluster: SimCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.store_keys.put(Key(Provider.SECRETBOX, "a:b", bytes(32)), origin="imported")
    cluster.store_keys.note_state(KeyRef(Provider.SECRETBOX, "a:b"), "compromised")
    assert destroy("secretbox:a:b", "--yes") == ExitCode.OK
    assert capsys.readouterr().out.startswith("secretbox/a:b, fingerprint ")


def test_the_life_of_a_key_is_shown_with_its_writes_its_backups_and_its_escrows(
    store: FileKeyStore, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(store)
    store.note_writes(KEY_0.ref, first=Moment(40, "then"))
    store.note_backup(ESCROW)
    assert main.run(["keys", "show", "--cluster", "trial.yaml", "aescbc:key0"]) == ExitCode.OK
    told = capsys.readouterr().out
    for line in (
        "cluster      trial",
        f"fingerprint  {KEY_0.fingerprint}",
        "life         2026-11-21T10:00:00+00:00  active",
        "             2026-11-21T10:00:00+00:00  deactivated",
        "first write  by revision 40, then",
        "last write   not proven by a rotation",
        "needed by    snapshot /backup/a.db, noted at 2026-11-21T10:00:00+00:00",
        "held by      /mnt/keys.age",
    ):
        assert line in told.splitlines()
    assert main.run(["keys", "show", "--cluster", "trial.yaml", "aescbc:key0", "-o", "json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["key"]["escrows"] == ["/mnt/keys.age"]
    assert main.run(["keys", "show", "--cluster", "trial.yaml", "aescbc:nobody"]) == ExitCode.UNUSABLE
    assert wrong_hints([capsys.readouterr().err]) == []


def test_a_destruction_says_which_escrow_still_has_the_bytes(
    cluster: SimCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.store_keys.note_backup(ESCROW)
    assert destroy("aescbc:key0", "--yes") == ExitCode.OK
    assert "the escrow /mnt/keys.age still has its bytes" in capsys.readouterr().err


def deactivate(*arguments: str) -> int:
    return main.run(["keys", "deactivate", "--cluster", "trial.yaml", *arguments])


def test_with_yes_the_key_is_deactivated(cluster: SimCluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.store_keys.note_state(KEY_0.ref, "active")
    assert deactivate("aescbc:key0", "--yes") == ExitCode.OK
    told = capsys.readouterr().out
    assert told == f"aescbc/key0, fingerprint {KEY_0.fingerprint}, is deactivated: nothing uses it\n"
    assert cluster.store_keys.records()[0].state == "deactivated"


def test_a_dry_run_of_it_changes_nothing(cluster: SimCluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.store_keys.note_state(KEY_0.ref, "active")
    cluster.switch.labels.clear()
    assert deactivate("aescbc:key0", "--dry-run") == ExitCode.OK
    assert "would be deactivated; it stays active, and nothing was changed" in capsys.readouterr().out
    assert cluster.switch.labels == []


def test_a_key_in_use_is_refused_with_every_reason(
    cluster: SimCluster,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cluster.store_keys.note_state(KEY_0.ref, "active")
    cluster.change_file("cp2", configuration((("secrets",), KEY_1), (("leases.coordination.k8s.io",), KEY_0)))
    cluster.etcds["https://10.0.0.9:2379"].put(b"/registry/secrets/a/b", b"k8s:enc:aescbc:v1:key0:" + bytes(64))
    assert deactivate("aescbc:key0", "--yes") == ExitCode.REFUSED
    told = capsys.readouterr().err
    assert "error: key aescbc/key0 is not deactivated [R4]" in told
    assert "cp2 still has it" in told
    assert "live values stand under it: 1 (1 of secrets)" in told
    assert wrong_hints([told]) == []


def test_one_that_is_deactivated_already_is_said_to_be_so_and_nobody_is_asked(
    cluster: SimCluster,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = answering(monkeypatch, "n")
    assert deactivate("aescbc:key0") == ExitCode.OK
    assert "is deactivated already, since " in capsys.readouterr().out
    assert asked == []


@pytest.mark.parametrize(("answer", "code", "state"), [("y", 0, "deactivated"), ("n", 130, "active")])
def test_the_user_is_asked_once_it_is_known_that_nothing_uses_it(
    cluster: SimCluster,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    code: int,
    state: str,
) -> None:
    cluster.store_keys.note_state(KEY_0.ref, "active")
    asked = answering(monkeypatch, answer)
    assert deactivate("aescbc:key0") == code
    assert len(asked) == 1
    assert cluster.store_keys.records()[0].state == state


def test_off_a_terminal_nothing_is_changed_without_yes(
    cluster: SimCluster,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    off_a_terminal(monkeypatch)
    assert deactivate("aescbc:key0") == ExitCode.REFUSED
    assert "say --yes, or --dry-run" in capsys.readouterr().err
