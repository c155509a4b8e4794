"""`keyctl snapshot restore-test` and `keyctl snapshot inspect --register`: what the register and the disk have."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from keyctl.backup.register import forgetting
from keyctl.backup.restore_test import Trial, Trialled
from keyctl.cli import main, restored_plane
from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.effective import all_static_keys
from keyctl.errors import ExitCode
from keyctl.keys.backups import Backup, BackupKind, Proof, needing
from keyctl.keys.file_store import FileKeyStore
from keyctl.keys.key import KeyRef, Provider
from tests.support import seal
from tests.support.encryption_file import key_texts, leaks, write_config
from tests.support.hints import wrong_hints
from tests.unit.backup.databases import snapshot
from tests.unit.backup.test_restore_test import NEW, OLD, PLUGIN, WRITTEN, FakePlane, at, sealed
from tests.unit.cli.test_wiring import settings
from tests.unit.keys.test_escrow import store_at


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileKeyStore:
    """A cluster file with a key store that has both keys, and s.db, which nobody has registered."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    settings(tmp_path)
    snapshot(tmp_path / "s.db", WRITTEN)
    store = store_at(tmp_path / "keys", cluster="trial")
    for key in (OLD, NEW):
        store.put(key, origin="imported")
    return store


@pytest.fixture
def plane(monkeypatch: pytest.MonkeyPatch) -> FakePlane:
    fake = FakePlane()
    monkeypatch.setattr(restored_plane, "plane", lambda *_, **__: fake)
    return fake


def restore_test(*arguments: str) -> int:
    return main.run(["snapshot", "restore-test", "s.db", "--cluster", "trial.yaml", *arguments])


def register(*arguments: str) -> int:
    return main.run(["snapshot", "inspect", "s.db", "--register", "--cluster", "trial.yaml", *arguments])


def test_a_snapshot_of_another_tool_is_registered_with_the_keys_that_open_it(
    store: FileKeyStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["snapshot", "inspect", "s.db"]) == ExitCode.OK
    assert store.backups() == ()
    assert register() == ExitCode.OK
    (noted,) = store.backups()
    assert (noted.location, set(noted.needs)) == (str(tmp_path / "s.db"), {OLD.ref, NEW.ref})
    assert dict(noted.fingerprints) == {OLD.ref: OLD.fingerprint, NEW.ref: NEW.fingerprint}
    assert noted.sha256 == (tmp_path / "s.db").read_bytes()[-32:].hex()
    assert "knows it, and that it needs" in capsys.readouterr().out
    assert needing((noted,), seal.key("renamed", fill=1).ref, OLD.fingerprint) == (noted,), "by its bytes, too"


def test_a_snapshot_of_which_nothing_opens_is_not_registered(
    store: FileKeyStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "keys").rename(tmp_path / "lost")
    store.put(seal.key("stranger", fill=8), origin="imported")
    assert register() == ExitCode.REFUSED
    told = capsys.readouterr().err
    assert "is it of another cluster?" in told
    assert wrong_hints([told]) == []
    assert store.backups() == ()
    write_config(tmp_path / "enc.yaml", OLD)
    assert register("--encryption-config", "enc.yaml") == ExitCode.OK
    assert len(store.backups()) == 1


def test_a_name_that_the_register_has_for_another_snapshot_stays_that_ones(
    store: FileKeyStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Backup(BackupKind.SNAPSHOT, str(tmp_path / "s.db"), "then", 5, (OLD.ref,), "ab" * 32)
    store.note_backup(other)
    assert register() == ExitCode.REFUSED
    assert store.backups() == (other,)


def test_the_cluster_file_is_for_the_register_alone(store: FileKeyStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["snapshot", "inspect", "s.db", "--cluster", "trial.yaml"]) == ExitCode.USAGE
    assert "add --register" in capsys.readouterr().err


def test_the_register_says_which_plugin_a_snapshot_needs_and_by_which_of_its_keys(
    store: FileKeyStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s.db").unlink()
    snapshot(tmp_path / "s.db", [(at("a"), PLUGIN, 5), (*sealed("b", OLD), 6)])
    assert register() == ExitCode.OK
    assert "it needs aescbc/old, kms/vault (key id key)" in capsys.readouterr().out
    (noted,) = store.backups()
    plugin = KeyRef(Provider.KMS, "vault")
    assert (noted.needs, noted.key_ids) == ((OLD.ref, plugin), ((plugin, "key"),))
    assert restore_test("--offline") == ExitCode.INCOMPLETE
    assert "this test has proven nothing of the whole file" in capsys.readouterr().out
    assert store.backups() == (noted,)
    (tmp_path / "s.db").unlink()
    assert forgetting(store, [tmp_path / "s.db"]).freed == (OLD.ref,)


def test_a_snapshot_of_nothing_but_a_plugins_values_is_registered(store: FileKeyStore, tmp_path: Path) -> None:
    (tmp_path / "s.db").unlink()
    snapshot(tmp_path / "s.db", [(at("a"), PLUGIN, 5)])
    assert register() == ExitCode.OK
    assert [noted.needs for noted in store.backups()] == [(KeyRef(Provider.KMS, "vault"),)]


def test_the_register_keeps_the_newest_result(
    store: FileKeyStore, plane: FakePlane, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert restore_test() == ExitCode.OK
    assert "the register does not know this file" in capsys.readouterr().out
    assert register() == ExitCode.OK
    (tmp_path / "s.db").rename(tmp_path / "moved.db")
    snapshot(tmp_path / "s.db", WRITTEN)
    (tmp_path / "moved.db").unlink()
    for words, proof in (((), Proof.SERVED), (("--offline",), Proof.OPENED)):
        assert restore_test(*words) == ExitCode.OK
        (noted,) = store.backups()
        assert noted.tested is not None
        assert noted.tested.proof is proof
    plane.listed["secrets"] = 0
    assert restore_test() == ExitCode.UNREADABLE
    (noted,) = store.backups()
    assert noted.tested is not None
    assert noted.tested.proof is Proof.FAILED
    assert set(noted.needs) == {OLD.ref, NEW.ref}, "what it needs is not forgotten by a test"


def test_the_configuration_is_written_with_keys_only_where_it_is_asked_for(
    store: FileKeyStore, plane: FakePlane, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert restore_test("--write-config", "out.yaml") == ExitCode.OK
    out = tmp_path / "out.yaml"
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert {key.ref for key in all_static_keys(decode(out.read_bytes(), name="out").config)} == {OLD.ref, NEW.ref}
    said = capsys.readouterr()
    assert restore_test("-o", "json") == ExitCode.OK
    more = capsys.readouterr()
    assert leaks(key_texts([out]), [said.out, said.err, more.out, more.err]) == []
    report = json.loads(more.out)
    assert (report["kind"], report["proof"], report["unopened"]) == ("RestoreTestReport", "served", 0)
    assert report["server"]["version"] == "v1.37.1"
    assert restore_test("--write-config", "out.yaml") == ExitCode.REFUSED
    assert len(plane.trials) == 2, "nothing is started that cannot be finished"


def test_without_the_programs_it_says_so_and_goes_by_the_keys(
    store: FileKeyStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(restored_plane, "plane", lambda *_, **__: None)
    assert restore_test() == ExitCode.OK
    assert "are not at hand; --build makes them" in capsys.readouterr().out


def test_a_missing_key_is_exit_12_and_nothing_is_written(
    store: FileKeyStore, plane: FakePlane, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.note_state(OLD.ref, "deactivated")
    store.destroy(OLD.ref)
    assert restore_test("--write-config", "out.yaml") == ExitCode.UNREADABLE
    told = capsys.readouterr()
    assert "they name aescbc/old" in told.out
    assert not (tmp_path / "out.yaml").exists()
    assert wrong_hints([told.out, told.err]) == []
    write_config(tmp_path / "enc.yaml", OLD)
    assert restore_test("--encryption-config", "enc.yaml") == ExitCode.OK


def test_keys_must_come_from_somewhere(store: FileKeyStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "trial.yaml").unlink()
    assert main.run(["snapshot", "restore-test", "s.db", "--offline"]) == ExitCode.USAGE
    write_config(tmp_path / "enc.yaml", OLD, NEW)
    words = ["snapshot", "restore-test", "s.db", "--offline", "--encryption-config", "enc.yaml"]
    assert main.run(words) == ExitCode.OK
    assert "no register was told of it" in capsys.readouterr().out
    assert main.run([*words, "--build"]) == ExitCode.USAGE


def test_a_plane_that_does_not_come_up_is_no_result(
    store: FileKeyStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from keyctl.errors import UnreachableError

    def broken(trial: Trial) -> Trialled:
        raise UnreachableError("it did not become ready")

    assert register() == ExitCode.OK
    monkeypatch.setattr(restored_plane, "plane", lambda *_, **__: broken)
    assert restore_test() == ExitCode.UNREACHABLE
    assert store.backups()[0].tested is None
