"""`keyctl config new --cluster`: the key is in the cluster's key store before it is in the file."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from keyctl.cli import main, wiring
from keyctl.cluster_file.settings import ClusterSettings, VaultKeySettings
from keyctl.encryption_config import effective
from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.model import StaticReader
from keyctl.errors import ExitCode, UnreachableError
from keyctl.keys.file_store import FileKeyStore
from keyctl.keys.interface import KeyStore
from tests.support.hints import wrong_hints
from tests.unit.cli.test_wiring import settings


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Has the cluster file trial.yaml, with a directory of keys and a policy of its own."""
    monkeypatch.chdir(tmp_path)
    policy = {"provider": "secretbox", "resources": ["secrets", "configmaps"]}
    settings(tmp_path, keys={"store": "file", "directory": "keys"}, policy=policy)
    return tmp_path


def new(*arguments: str) -> int:
    return main.run(["config", "new", "enc.yaml", *arguments])


def writers(folder: Path) -> tuple[StaticReader, StaticReader]:
    config = decode((folder / "enc.yaml").read_bytes(), name="enc.yaml").config
    first, second = (effective.readers(config, resource)[0] for resource in ("secrets", "configmaps"))
    assert isinstance(first, StaticReader)
    assert isinstance(second, StaticReader)
    return first, second


def store_of(folder: Path) -> KeyStore:
    return wiring.key_store(wiring.require_cluster(folder / "trial.yaml"))


def test_the_key_is_in_the_store_of_the_cluster_file_and_its_policy_is_kept(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new("--cluster", "trial.yaml") == ExitCode.OK
    first, second = writers(folder)
    assert (first, first.ref.provider) == (second, "secretbox")
    (record,) = store_of(folder).records()
    assert (record.ref, record.fingerprint, record.state) == (first.ref, first.key.fingerprint, "pre-activation")
    assert store_of(folder).get(record.ref) == first.key
    assert stat.S_IMODE((folder / "enc.yaml").stat().st_mode) == 0o600
    told = capsys.readouterr()
    assert told.out == f"enc.yaml: {first.ref} writes secrets, configmaps; fingerprint {record.fingerprint}\n"
    assert told.err == f"the key is in the key store {folder / 'keys'}, too\n"


def test_flags_go_before_the_policy(folder: Path) -> None:
    assert new("--cluster", "trial.yaml", "--provider", "aesgcm", "--resources", "configmaps") == ExitCode.OK
    (record,) = store_of(folder).records()
    assert record.ref.provider == "aesgcm"
    assert b"secrets" not in (folder / "enc.yaml").read_bytes()


def test_with_store_vault_it_is_the_vault_that_gets_the_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[ClusterSettings] = []

    def key_store(given: ClusterSettings) -> KeyStore:
        asked.append(given)
        return FileKeyStore(folder / "stands for vault", cluster=given.name, clock=wiring.SystemClock().now)

    monkeypatch.setattr(wiring, "key_store", key_store)
    assert new("--cluster", "trial.yaml", "--store", "vault") == ExitCode.OK
    assert [type(one.keys) for one in asked] == [VaultKeySettings]
    assert len([*(folder / "stands for vault").glob("*.key.json")]) == 1
    assert not (folder / "keys").exists()


def test_without_the_store_there_is_no_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(given: ClusterSettings) -> KeyStore:
        raise UnreachableError("the Vault cannot be reached")

    monkeypatch.setattr(wiring, "key_store", away)
    assert new("--cluster", "trial.yaml") == ExitCode.UNREACHABLE
    assert not (folder / "enc.yaml").exists()


def test_a_file_that_is_there_stays_and_no_key_is_made(folder: Path) -> None:
    (folder / "enc.yaml").write_text("mine")
    assert new("--cluster", "trial.yaml") == ExitCode.REFUSED
    assert not (folder / "keys").exists()


def test_a_cluster_file_that_nobody_names_is_not_used(folder: Path) -> None:
    (folder / "trial.yaml").rename(folder / "keyctl.yaml")
    assert new() == ExitCode.OK
    assert not (folder / "keys").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--cluster", "trial.yaml", "--key-store", "keys", "--cluster-name", "trial"),
        ("--store", "vault"),
        ("--key-store", "keys"),
        ("--cluster-name", "trial"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    assert new(*arguments) == ExitCode.USAGE
    assert not (folder / "enc.yaml").exists()
    told = capsys.readouterr().err
    assert "hint: " in told
    assert wrong_hints([told]) == []
