"""`keyctl verify-secrets --snapshot` from the command line: what the ledger knows counts, the worst result decides."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from keyctl.cli import main, wiring
from keyctl.errors import ExitCode
from keyctl.keys.file_store import FileKeyStore
from keyctl.keys.key import Key
from keyctl.keys.ledger import KeyState
from tests.support import seal
from tests.support.encryption_file import write_config
from tests.unit.backup.databases import snapshot

OLD, NEW = seal.key("key1", fill=1), seal.key("key2", fill=2)
AT = b"/registry/secrets/default/s"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(wiring, "MANIFEST", tmp_path / "no-manifest.yaml")
    return tmp_path


def cluster_file(folder: Path, *configs: Path) -> Path:
    servers = [
        {"name": f"cp{number}", "url": f"https://10.0.0.{number}:6443", "encryptionConfig": str(config)}
        for number, config in enumerate(configs, 1)
    ]
    etcd = {"endpoints": ["https://127.0.0.1:2379"]}
    keys = {"store": "file", "directory": "keys"}
    document = {"apiVersion": "keyctl/v1", "kind": "Cluster", "name": "prod", "etcd": etcd, "apiServers": servers}
    path = folder / "keyctl.yaml"
    path.write_text(yaml.safe_dump(document | {"keys": keys}))
    return path


def store_of(folder: Path) -> FileKeyStore:
    return FileKeyStore(folder / "keys", cluster="prod", clock=wiring.SystemClock().now)


def sealed(key: Key, at: bytes = AT) -> bytes:
    return seal.seal(key, at, seal.secret("s"))


def verify(*arguments: str) -> int:
    return main.run(["verify-secrets", "--snapshot", "s.db", *arguments])


@pytest.mark.parametrize("asked", [(), ("--encryption-config", "both.yaml")], ids=["cluster file", "and a flag"])
def test_a_key_that_the_ledger_calls_retired_counts_in_history_though_a_file_still_reads_it(
    asked: tuple[str, ...], folder: Path
) -> None:
    snapshot(folder / "s.db", [(AT, sealed(OLD), 2), (AT, sealed(NEW), 3)])
    cluster_file(folder, write_config(folder / "both.yaml", NEW, OLD))
    assert verify("--residue", *asked) == ExitCode.OK
    store = store_of(folder)
    store.put(OLD, origin="imported")
    store.note_state(OLD.ref, KeyState.DEACTIVATED)
    assert verify("--residue", *asked) == ExitCode.RESIDUE


def test_of_several_servers_the_worst_result_decides_and_not_the_highest_number(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Under one file a ConfigMap is plaintext that must not be (13); under the other only history has a retired key."""
    config_map = b"/registry/configmaps/default/c"
    written = [(AT, sealed(OLD), 2), (AT, sealed(NEW), 3), (config_map, seal.config_map("c"), 4)]
    snapshot(folder / "s.db", written)
    strict = write_config(folder / "a.yaml", NEW, resources=("secrets", "configmaps"))
    cluster_file(folder, strict, write_config(folder / "b.yaml", NEW))
    assert verify("--residue", "-o", "json") == ExitCode.PLAINTEXT
    assert json.loads(capsys.readouterr().out)["verdict"] == "plaintext"
