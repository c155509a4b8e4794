"""What verify-secrets reads and judges by: flags, then the cluster file, then this machine's manifest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
import yaml

from keyctl.cli import verification, wiring
from keyctl.cli.options import Connection
from keyctl.cluster_file.settings import EtcdConnection
from keyctl.encryption_config import effective
from keyctl.encryption_config.model import EncryptionConfig
from keyctl.errors import RevisionLostError, UnreachableError, UnusableInputError
from keyctl.etcd.interface import Etcd
from keyctl.keys.key import KeyRef, Provider
from keyctl.kube.interface import ApiServer, ServerProbe
from keyctl.stored.source import Value
from tests.support import seal
from tests.support.encryption_file import write_config
from tests.support.fake_kube import FakeApiServer, FakeCluster
from tests.support.memory_source import MemorySource

NOTHING = Connection(None, None, None, None, None, None)
OLD, NEW = seal.key("old", fill=1), seal.key("new", fill=2)
MANIFEST = """\
apiVersion: v1
kind: Pod
spec:
  containers:
  - name: kube-apiserver
    command: [kube-apiserver, {flags}]
"""


class FakeEtcd:
    """An etcd with values in memory that remembers where it would have been asked."""

    def __init__(self, settings: EtcdConnection, values: dict[bytes, bytes]) -> None:
        self.settings, self.values, self.closed = settings, values, False

    def source(self, *, revision: int = 0) -> MemorySource:
        return MemorySource(self.values)

    def get(self, key: bytes) -> tuple[bytes, int] | None:
        return (self.values[key], 1) if key in self.values else None

    def close(self) -> None:
        self.closed = True


class FakeApi:
    """An API server that knows its kube-system, and two Secrets."""

    def __init__(self, uid: str, *, ready: bool = True) -> None:
        self.uid, self.ready = uid, ready

    def kube_system_uid(self) -> str:
        return self.uid

    def probe(self) -> ServerProbe:
        return ServerProbe("cp1", ready=self.ready)


def _etcd(fake: FakeEtcd) -> Etcd:
    return cast("Etcd", fake)


def _api(fake: FakeApi) -> ApiServer:
    return cast("ApiServer", fake)


@pytest.fixture
def etcds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[FakeEtcd]:
    """Every etcd that is built, on a machine without a manifest."""
    built: list[FakeEtcd] = []

    def build(settings: EtcdConnection) -> FakeEtcd:
        built.append(FakeEtcd(settings, {}))
        return built[-1]

    monkeypatch.setattr(wiring, "etcd", build)
    monkeypatch.setattr(wiring, "MANIFEST", tmp_path / "kube-apiserver.yaml")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    return built


def cluster_file(folder: Path, *configs: Path, **host: object) -> Path:
    servers = [
        {"name": f"cp{number}", "url": f"https://10.0.0.{number}:6443", "encryptionConfig": str(config)} | host
        for number, config in enumerate(configs, 1)
    ]
    etcd = {"endpoints": ["https://file:2379"], "prefix": "/from-file"}
    document = {"apiVersion": "keyctl/v1", "kind": "Cluster", "name": "x", "etcd": etcd, "apiServers": servers}
    path = folder / "keyctl.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_a_flag_replaces_one_field_and_leaves_the_rest_of_the_cluster_file(
    etcds: list[FakeEtcd], tmp_path: Path
) -> None:
    cluster_file(tmp_path, write_config(tmp_path / "enc.yaml", NEW))
    given = Connection(None, "https://flag:2379", None, None, None, None)
    with verification.target(given, None, revision=0) as found:
        assert (found.prefix, found.configs) == ("/from-file", (seal.config(NEW),))
    (etcd,) = etcds
    assert etcd.settings.endpoints == ("https://flag:2379",)
    assert etcd.closed


def test_without_any_file_flags_alone_are_enough(etcds: list[FakeEtcd], tmp_path: Path) -> None:
    given = Connection(None, "https://flag:2379", Path("ca"), Path("cert"), Path("key"), None)
    with verification.target(given, None, revision=0) as found:
        assert (found.prefix, found.configs, found.api) == ("/registry", (None,), None)
    assert etcds[0].closed


def test_the_manifest_of_this_machine_tells_every_etcd(
    etcds: list[FakeEtcd], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = tmp_path / "kube-apiserver.yaml"
    flags = '--etcd-servers=https://main:2379, "--etcd-servers-overrides=/events#https://other:2379"'
    manifest.write_text(MANIFEST.format(flags=flags))
    monkeypatch.setattr(wiring, "MANIFEST", manifest)
    with verification.target(NOTHING, None, revision=0):
        pass
    assert [etcd.settings.endpoints for etcd in etcds] == [("https://main:2379",), ("https://other:2379",)]


def test_a_list_that_the_api_refuses_is_no_zero(etcds: list[FakeEtcd], tmp_path: Path) -> None:
    target = verification.Target((), "/registry", (None,), FakeApiServer("cp1", FakeCluster()), 0)
    with pytest.raises(UnreachableError, match="does not say how many"):
        target.counts(("nonsense.example",))


def test_the_cluster_file_tells_the_rest(etcds: list[FakeEtcd], tmp_path: Path) -> None:
    cluster_file(tmp_path, write_config(tmp_path / "enc.yaml", NEW))
    with verification.target(NOTHING, None, revision=0) as found:
        assert found.prefix == "/from-file"
        assert found.configs == (seal.config(NEW),)
    assert etcds[0].settings.endpoints == ("https://file:2379",)
    with verification.target(Connection(None, None, None, None, None, "/flag"), None, revision=0) as found:
        assert found.prefix == "/flag"


def test_equal_configurations_are_one_and_different_ones_are_all_kept(etcds: list[FakeEtcd], tmp_path: Path) -> None:
    same = [write_config(tmp_path / f"{number}.yaml", NEW) for number in (1, 2)]
    other = write_config(tmp_path / "3.yaml", OLD)
    cluster_file(tmp_path, *same, other)
    with verification.target(NOTHING, None, revision=0) as found:
        assert found.configs == (seal.config(NEW), seal.config(OLD))


def test_what_any_server_reads_is_read_by_all_of_them_together(etcds: list[FakeEtcd], tmp_path: Path) -> None:
    one = write_config(tmp_path / "1.yaml", NEW, resources=("secrets", "'*.apps'"))
    other = write_config(tmp_path / "2.yaml", OLD, resources=("'*.'",), identity=False)
    cluster_file(tmp_path, one, other)
    with verification.target(NOTHING, None, revision=0) as found:
        reading = found.reading
    plain = KeyRef(Provider.IDENTITY, "")
    assert {
        name: [reader.ref for reader in effective.readers(reading, name)]
        for name in ("secrets", "configmaps", "deployments.apps", "leases.coordination.k8s.io")
    } == {
        "secrets": [NEW.ref, plain, OLD.ref],
        "configmaps": [plain, OLD.ref],
        "deployments.apps": [NEW.ref, plain],
        "leases.coordination.k8s.io": [plain],
    }


def test_the_namespace_that_any_configuration_opens_tells_the_cluster(
    etcds: list[FakeEtcd], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = b"/registry/namespaces/kube-system"
    namespace = seal.stored("v1", "Namespace", "kube-system", uid="the-uid")
    etcd = FakeEtcd(EtcdConnection(), {key: seal.seal(NEW, key, namespace)})
    configs = tuple(seal.config(one, resources=("namespaces",)) for one in (OLD, NEW))
    target = verification.Target((_etcd(etcd),), "/registry/", configs, _api(FakeApi("the-uid")), 0)
    monkeypatch.setattr(verification, "_target", lambda *_, **__: target)
    with verification.target(NOTHING, None, revision=0) as found:
        assert found is target


def test_a_given_configuration_is_the_only_one(etcds: list[FakeEtcd], tmp_path: Path) -> None:
    cluster_file(tmp_path, tmp_path / "not-there.yaml")
    with verification.target(NOTHING, write_config(tmp_path / "mine.yaml", OLD), revision=0) as found:
        assert found.configs == (seal.config(OLD),)


def test_a_host_that_nobody_gets_to_is_noted_and_no_configuration_is_made_up(
    etcds: list[FakeEtcd], tmp_path: Path
) -> None:
    cluster_file(tmp_path, tmp_path / "enc.yaml", host={"type": "ssh", "address": "cp1.invalid", "user": "root"})
    with verification.target(NOTHING, None, revision=0) as found:
        assert found.configs == (None,)
        assert "the configuration of cp1 was not read" in found.unread[0]


def test_a_server_without_the_flag_encrypts_nothing(etcds: list[FakeEtcd], tmp_path: Path) -> None:
    manifest = tmp_path / "cp1-manifest.yaml"
    manifest.write_text(MANIFEST.format(flags="--etcd-prefix=/x"))
    cluster_file(tmp_path, tmp_path / "enc.yaml", manifest=str(manifest))
    with verification.target(NOTHING, None, revision=0) as found:
        assert found.configs == (EncryptionConfig(()),)


def test_a_file_that_the_flag_names_and_the_host_lacks_is_an_error(etcds: list[FakeEtcd], tmp_path: Path) -> None:
    manifest = tmp_path / "cp1-manifest.yaml"
    manifest.write_text(MANIFEST.format(flags=f"--encryption-provider-config={tmp_path}/enc.yaml"))
    cluster_file(tmp_path, tmp_path / "enc.yaml", manifest=str(manifest))
    with (
        pytest.raises(UnusableInputError, match=r"enc\.yaml is missing on cp1"),
        verification.target(NOTHING, None, revision=0),
    ):
        pass


def test_on_a_control_plane_node_the_manifest_tells_everything(etcds: list[FakeEtcd], tmp_path: Path) -> None:
    config = write_config(tmp_path / "enc.yaml", NEW)
    flags = f"--etcd-servers=https://127.0.0.1:2379, --etcd-cafile=/ca, --encryption-provider-config={config}"
    wiring.MANIFEST.write_text(MANIFEST.format(flags=flags))
    with verification.target(NOTHING, None, revision=0) as found:
        assert found.configs == (seal.config(NEW),)
        assert found.notes == (f"taken from {wiring.MANIFEST}",)
    assert etcds[0].settings.endpoints == ("https://127.0.0.1:2379",)
    assert etcds[0].settings.cacert == Path("/ca")


@pytest.mark.parametrize(("uid", "bound"), [("the-uid", True), ("another", False)])
def test_the_etcd_must_be_the_one_behind_the_api(
    etcds: list[FakeEtcd], monkeypatch: pytest.MonkeyPatch, uid: str, bound: bool
) -> None:
    stored = {b"/registry/namespaces/kube-system": seal.stored("v1", "Namespace", "kube-system", uid="the-uid")}
    etcd = FakeEtcd(EtcdConnection(), stored)
    target = verification.Target((_etcd(etcd),), "/registry/", (None,), _api(FakeApi(uid)), 0, ())
    monkeypatch.setattr(verification, "_target", lambda *_, **__: target)
    if bound:
        with verification.target(NOTHING, None, revision=0) as found:
            assert found is target
    else:
        with (
            pytest.raises(UnreachableError, match="not the one behind the API server"),
            verification.target(NOTHING, None, revision=0),
        ):
            pass
    assert etcd.closed


def test_the_largest_neighbours_come_first() -> None:
    values = {f"/a/{number}".encode(): b"" for number in range(3)} | {b"/b/1": b"", b"plain": b""}
    target = verification.Target((_etcd(FakeEtcd(EtcdConnection(), values)),), "/registry", (None,), None, 0, ())
    assert target.neighbours()[0] == ("/a", 3)
    assert dict(target.neighbours()) == {"/a": 3, "/b": 1, "plain": 1}


def test_neighbours_are_counted_anew_when_etcd_forgot_what_was_being_read(monkeypatch: pytest.MonkeyPatch) -> None:
    etcd = FakeEtcd(EtcdConnection(), {b"/a/1": b"", b"/a/2": b""})
    tries = []

    class Forgetful(MemorySource):
        def batches(self, prefix: bytes) -> Iterator[list[Value]]:
            tries.append(prefix)
            yield from super().batches(prefix)
            if len(tries) < 3:
                raise RevisionLostError("compacted")

    monkeypatch.setattr(etcd, "source", lambda: Forgetful(etcd.values))
    target = verification.Target((_etcd(etcd),), "/registry", (None,), None, 0, ())
    assert (target.neighbours(), len(tries)) == ((("/a", 2),), 3)


def test_an_etcd_for_several_resources_is_one_and_one_that_is_the_main_one_is_none_beside_it(
    etcds: list[FakeEtcd], tmp_path: Path
) -> None:
    path = cluster_file(tmp_path, write_config(tmp_path / "enc.yaml", NEW))
    document = yaml.safe_load(path.read_text())
    places = {"events": ["a", "b"], "leases": ["b", "a"], "pods": ["file"], "nodes": ["c"]}
    document["etcd"]["overrides"] = [
        {"resources": [name], "endpoints": [f"https://{host}:2379" for host in hosts]} for name, hosts in places.items()
    ]
    path.write_text(yaml.safe_dump(document))
    with verification.target(NOTHING, None, revision=0) as found:
        assert found.names == ("main", "events", "nodes")
    assert [etcd.settings.endpoints[0] for etcd in etcds] == ["https://file:2379", "https://a:2379", "https://c:2379"]


def test_a_configuration_that_cannot_be_read_is_told_to_who_can_do_without(
    etcds: list[FakeEtcd], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("nonsense")
    cluster_file(tmp_path, write_config(tmp_path / "enc.yaml", NEW), broken)
    with verification.target(NOTHING, None, revision=0, tolerant=True) as found:
        assert found.configs == (seal.config(NEW),)
        assert [text.split(":")[0] for text in found.unread] == ["the configuration of cp2 was not read"]
    with pytest.raises(UnusableInputError), verification.target(NOTHING, None, revision=0):
        pass
    with pytest.raises(UnusableInputError), verification.target(NOTHING, broken, revision=0, tolerant=True):
        pass


def test_a_configuration_that_this_machines_manifest_names_and_that_is_missing_is_told_too(
    etcds: list[FakeEtcd], tmp_path: Path
) -> None:
    flags = f"--etcd-servers=https://127.0.0.1:2379, --encryption-provider-config={tmp_path}/enc.yaml"
    wiring.MANIFEST.write_text(MANIFEST.format(flags=flags))
    with verification.target(NOTHING, None, revision=0, tolerant=True) as found:
        assert found.configs == (None,)
        assert "this machine's API server was not read" in found.unread[0]
    with pytest.raises(UnusableInputError), verification.target(NOTHING, None, revision=0):
        pass


def test_a_namespace_that_stays_closed_for_want_of_a_configuration_is_no_other_cluster(
    etcds: list[FakeEtcd], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = b"/registry/namespaces/kube-system"
    etcd = FakeEtcd(EtcdConnection(), {key: seal.seal(NEW, key, seal.stored("v1", "Namespace", "kube-system"))})
    for unread in (("the configuration of cp1 was not read",), ()):
        target = verification.Target((_etcd(etcd),), "/registry/", (None,), _api(FakeApi("x")), 0, (), unread)
        monkeypatch.setattr(verification, "_target", lambda *_, found=target, **__: found)
        if unread:
            with verification.target(NOTHING, None, revision=0) as found:
                assert found is target
        else:
            with pytest.raises(UnreachableError), verification.target(NOTHING, None, revision=0):
                pass


def test_the_api_is_not_asked_about_another_revision() -> None:
    api = FakeApi("uid")
    target = verification.Target((), "/registry", (None,), _api(api), 7, ())
    assert target.counts(("secrets",)) == {}
