"""What cannot be built is wrong usage, said before any connection is opened."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path

import pytest
import trustme
import yaml

from keyctl.cli import wiring
from keyctl.cli.options import Connection
from keyctl.cluster_file.read import load
from keyctl.cluster_file.settings import ClusterSettings, EtcdConnection
from keyctl.errors import UnusableInputError, WrongUsageError
from keyctl.hosts.command import CommandHost
from keyctl.hosts.local import LocalHost
from keyctl.hosts.ssh import SshHost
from keyctl.keys.key import Provider
from tests.support.etcd_process import write_client
from tests.support.kubeconfig import write_kubeconfig

NOTHING = Connection(None, None, None, None, None, None)


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No cluster file is found by itself, and state goes below the test's folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("KUBECONFIG", raising=False)


def settings(folder: Path, **changes: object) -> ClusterSettings:
    """A cluster of one server on this machine, with `changes` to the file; None takes a field out."""
    authority = trustme.CA()
    tls = write_client(folder, authority, authority)
    server = {"name": "cp1", "url": "https://127.0.0.1:6443", "encryptionConfig": str(folder / "enc.yaml")}
    document: dict[str, object] = {
        "apiVersion": "keyctl/v1",
        "kind": "Cluster",
        "name": "trial",
        "etcd": {
            "endpoints": ["https://127.0.0.1:2379"],
            "cacert": str(tls.ca),
            "cert": str(tls.cert),
            "key": str(tls.key),
        },
        "kubernetes": {"kubeconfig": str(write_kubeconfig(folder, authority, "https://127.0.0.1:6443"))},
        "apiServers": [server],
    }
    server_changes = changes.pop("server", {})
    assert isinstance(server_changes, dict)
    document["apiServers"] = [server | server_changes]
    document = {name: value for name, value in (document | changes).items() if value is not None}
    path = folder / "trial.yaml"
    path.write_text(yaml.safe_dump(document))
    return load(path)


def test_the_cluster_file_is_the_given_one_then_the_folders_then_the_users(tmp_path: Path) -> None:
    assert wiring.find_cluster_file(None) is None
    users = tmp_path / "config" / "keyctl" / "keyctl.yaml"
    users.parent.mkdir(parents=True)
    users.write_text("")
    assert wiring.find_cluster_file(None) == users
    Path("keyctl.yaml").write_text("")
    assert wiring.find_cluster_file(None) == Path("keyctl.yaml")
    assert wiring.find_cluster_file(Path("other.yaml")) == Path("other.yaml")


def test_without_a_cluster_file_nothing_can_be_changed() -> None:
    with pytest.raises(WrongUsageError, match="no cluster file") as caught:
        wiring.require_cluster(None)
    assert "--cluster" in caught.value.hints[0]


def test_flags_stand_above_the_file(tmp_path: Path) -> None:
    file = EtcdConnection(endpoints=("https://file:2379",), cacert=Path("file-ca"), cert=Path("file-cert"))
    given = Connection(None, "https://a:2379, https://b:2379", Path("ca"), None, None, None)
    assert wiring.with_flags(file, NOTHING) == file
    merged = wiring.with_flags(file, given)
    assert merged.endpoints == ("https://a:2379", "https://b:2379")
    assert (merged.cacert, merged.cert) == (Path("ca"), Path("file-cert"))


def test_everything_that_mutual_tls_lacks_is_named_at_once() -> None:
    with pytest.raises(WrongUsageError, match="missing: --cacert, --key") as caught:
        wiring.etcd(EtcdConnection(endpoints=("https://a:2379",), cert=Path("cert")))
    assert "ETCDCTL_" in caught.value.hints[0]


def test_files_that_are_no_pair_are_found_before_any_connection(tmp_path: Path) -> None:
    authority = trustme.CA()
    tls = write_client(tmp_path, authority, authority)
    with pytest.raises(UnusableInputError, match="is not PEM"):
        wiring.etcd(
            EtcdConnection(("https://127.0.0.1:1",), tls.ca, tls.cert, _text(tmp_path / "key", "no key at all"))
        )


def _text(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"apiServers": None}, "lists no API servers"),
        ({"keys": {"store": "vault"}}, "no address of Vault"),
        ({"kubernetes": None}, "no kubeconfig"),
    ],
)
def test_what_this_version_cannot_do_is_refused_with_what_to_write_instead(
    tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    with pytest.raises(WrongUsageError, match=says) as caught:
        wiring.rotation_parts(settings(tmp_path, **changes))
    assert caught.value.hints


def test_a_rotation_may_keep_its_keys_in_a_vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_NAMESPACE", "team")
    keys = {"store": "vault", "address": "https://vault.test:8200"}
    store = wiring.rotation_parts(settings(tmp_path, keys=keys)).world.store
    assert store.location == "https://vault.test:8200 team/keyctl/clusters/trial"


def test_a_rotation_is_built_from_the_cluster_file(tmp_path: Path) -> None:
    parts = wiring.rotation_parts(settings(tmp_path, policy={"provider": "secretbox", "resources": ["secrets"]}))
    assert parts.state_directory == tmp_path / "state" / "keyctl" / "trial"
    assert (parts.policy_provider, parts.policy_resources) == (Provider.SECRETBOX, ("secrets",))
    (server,) = parts.world.servers
    assert (server.name, server.url_host, server.reloads) == ("cp1", "127.0.0.1", True)
    assert parts.world.prefix == "/registry"
    for place in parts.world.etcds:
        place.etcd.close()


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ({"type": "local"}, LocalHost),
        ({"type": "ssh", "address": "cp1.invalid", "user": "ops", "sudo": True}, SshHost),
        ({"type": "command", "read": ["r"], "write": ["w"]}, CommandHost),
    ],
)
def test_every_kind_of_host_is_built_and_reaches_out_to_nobody(
    tmp_path: Path, host: dict[str, object], kind: type
) -> None:
    (server,) = settings(tmp_path, server={"host": host, "encryptionConfig": "/enc.yaml"}).api_servers
    found = wiring.host(server)
    assert type(found) is kind
    assert found.name == "cp1"


def test_a_static_pod_is_restarted_through_its_manifest_whatever_the_host(tmp_path: Path) -> None:
    manifest = tmp_path / "kube-apiserver.yaml"
    manifest.write_text("metadata: {name: kube-apiserver}\nspec: {containers: [{name: kube-apiserver}]}\n")
    static = {"manifest": str(manifest), "activation": {"restart": {"staticPod": True}}}
    (server,) = wiring.rotation_parts(settings(tmp_path, server=static)).world.servers
    assert not server.reloads
    server.host.restart()
    assert "keyctl/restarted-at" in manifest.read_text()


def test_kubeconfig_comes_from_the_environment_when_the_file_names_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = settings(tmp_path, kubernetes=None)
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'user.kubeconfig'}:other")
    assert wiring.api_server(found, found.api_servers[0]).name == "cp1"


def test_the_clock_is_in_utc_and_goes_on() -> None:
    clock = wiring.SystemClock()
    begun = clock.monotonic()
    clock.sleep(0.01)
    assert clock.monotonic() - begun >= 0.01
    assert clock.now().tzinfo is UTC
