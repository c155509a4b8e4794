"""`keyctl keys generate` and `export`: what comes into being, where bytes go, and what is said."""

from __future__ import annotations

import base64
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from keyctl.cli import main
from keyctl.cluster_file.settings import FileKeySettings
from keyctl.errors import ExitCode
from keyctl.keys.file_store import FileKeyStore
from keyctl.keys.key import Key, Provider
from tests.support.hints import wrong_hints
from tests.support.sim_texts import KEY_0, KEY_1
from tests.unit.cli.test_wiring import settings


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileKeyStore:
    """The key store of the cluster file trial.yaml, empty; its policy is secretbox."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    wanted = {"store": "file", "directory": "keys"}
    given = settings(tmp_path, kubernetes=None, keys=wanted, policy={"provider": "secretbox"})
    assert isinstance(given.keys, FileKeySettings)
    clock = datetime(2026, 11, 21, 10, tzinfo=UTC)
    return FileKeyStore(given.keys.directory, cluster="trial", clock=lambda: clock)


def keys(command: str, *arguments: str) -> int:
    return main.run(["keys", command, "--cluster", "trial.yaml", *arguments])


def forms(key: Key) -> tuple[str, str]:
    return base64.b64encode(key.material).decode().rstrip("="), key.material.hex()


@pytest.mark.parametrize(
    ("arguments", "provider"), [((), Provider.SECRETBOX), (("--provider", "aesgcm"), Provider.AESGCM)]
)
def test_a_key_is_made_in_the_store_and_nowhere_else(
    store: FileKeyStore, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], provider: Provider
) -> None:
    assert keys("generate", *arguments) == ExitCode.OK
    (record,) = store.records()
    assert (record.ref.provider, record.state, record.origin) == (provider, "pre-activation", "generated")
    made = store.get(record.ref)
    assert made is not None
    told = capsys.readouterr()
    expected = f"{record.ref}, fingerprint {made.fingerprint}, is pre-activation in the key store {store.location}\n"
    assert (told.out, told.err) == (expected, "")
    assert not [form for form in forms(made) if form in told.out]


def test_two_keys_are_two(store: FileKeyStore) -> None:
    assert [keys("generate"), keys("generate")] == [ExitCode.OK, ExitCode.OK]
    first, second = store.records()
    assert first.ref != second.ref
    assert first.fingerprint != second.fingerprint


def test_an_export_is_an_element_that_a_configuration_takes_for_its_owner_alone(
    store: FileKeyStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.put(KEY_1, origin="imported")
    assert keys("export", "aescbc:key1", "one.yaml") == ExitCode.OK
    file = tmp_path / "one.yaml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    secret = base64.b64encode(KEY_1.material).decode()
    assert yaml.safe_load(file.read_text()) == [{"aescbc": {"keys": [{"name": "key1", "secret": secret}]}}]
    told = capsys.readouterr()
    assert told.out == f"one.yaml: aescbc/key1, fingerprint {KEY_1.fingerprint}, not encrypted\n"
    assert not [form for form in forms(KEY_1) if form in told.out + told.err]


def test_the_store_is_only_read_by_an_export(store: FileKeyStore, tmp_path: Path) -> None:
    store.put(KEY_1, origin="imported")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "keys").iterdir()}
    assert keys("export", "aescbc:key1", "one.yaml") == ExitCode.OK
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "keys").iterdir()} == before


def test_nothing_is_written_over(store: FileKeyStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store.put(KEY_1, origin="imported")
    (tmp_path / "one.yaml").write_text("mine")
    assert keys("export", "aescbc:key1", "one.yaml") == ExitCode.REFUSED
    assert (tmp_path / "one.yaml").read_text() == "mine"
    assert wrong_hints([capsys.readouterr().err]) == []


def test_into_a_pipe_the_element_goes_alone_and_a_terminal_never_gets_it(
    store: FileKeyStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store.put(KEY_0, origin="imported")
    assert keys("export", "aescbc:key0", "-") == ExitCode.OK
    told = capsys.readouterr()
    assert [*yaml.safe_load(told.out)[0]] == ["aescbc"]
    assert told.err == f"stdout: aescbc/key0, fingerprint {KEY_0.fingerprint}, not encrypted\n"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert keys("export", "aescbc:key0", "-") == ExitCode.REFUSED
    told = capsys.readouterr()
    assert told.out == ""
    assert "a key is not shown on a terminal" in told.err
    assert not [form for form in forms(KEY_0) if form in told.err]


def test_a_compromised_key_is_exported_with_a_warning(store: FileKeyStore, capsys: pytest.CaptureFixture[str]) -> None:
    store.put(KEY_1, origin="imported")
    store.note_state(KEY_1.ref, "compromised")
    assert keys("export", "aescbc:key1", "one.yaml") == ExitCode.OK
    assert capsys.readouterr().err == "aescbc/key1 is compromised: use it to read old values only\n"


def test_a_key_without_bytes_is_not_exported(
    store: FileKeyStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.put(KEY_1, origin="imported")
    assert keys("export", "aescbc:nobody", "one.yaml") == ExitCode.UNUSABLE
    for state in ("deactivated", "destroyed"):
        store.note_state(KEY_1.ref, state)
    assert keys("export", "aescbc:key1", "one.yaml") == ExitCode.UNUSABLE
    assert not (tmp_path / "one.yaml").exists()
    told = capsys.readouterr().err
    assert "aescbc/nobody is not there" in told
    assert "aescbc/key1 was destroyed" in told
    assert wrong_hints([told]) == []
