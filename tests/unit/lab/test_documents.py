from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from keyctl.errors import WrongUsageError
from keyctl.lab import documents, flags
from keyctl.lab.layout import Layout
from keyctl.lab.topology import EtcdAccess, Settings, Topology, arrange

LAYOUT = Layout(Path("/a lab"))
PROGRAMS = {"etcd": Path("/bin/etcd"), "kube-apiserver": Path("/bin/kube-apiserver")}
UNSHARE = ("unshare", "--uts")
SHARED = EtcdAccess(endpoints=("https://127.0.9.21:2379",), cacert="/e/ca.crt", cert="/e/c.crt", key="/e/c.key")


def lab(
    *,
    members: int = 1,
    reload: bool = False,
    prefix: str = "/registry",
    etcd: EtcdAccess | None = None,
    namespace: tuple[str, ...] = UNSHARE,
) -> Topology:
    settings = Settings(name="try", members=members, reload=reload, prefix=prefix, etcd=etcd)
    placed = arrange(settings, LAYOUT.root, network=7, shared_hostname="host", binaries=PROGRAMS, namespace=namespace)
    return placed.moved(2379, 2380, 6443)


def test_servers_share_a_port_and_differ_in_address_host_name_and_advertised_address() -> None:
    servers = lab().servers
    assert [server.url for server in servers] == [f"https://127.0.7.{11 + i}:6443" for i in range(3)]
    assert [server.hostname for server in servers] == ["cp1.try", "cp2.try", "cp3.try"]
    assert len({server.advertise for server in servers}) == 3


def test_without_namespaces_servers_show_the_hosts_name_and_the_files_say_so() -> None:
    shared = lab(namespace=())
    assert {server.hostname for server in shared.servers} == {"host"}
    assert "share this host's name" in documents.cluster_file(shared, LAYOUT).splitlines()[0]


def test_a_topology_survives_its_file() -> None:
    for topology in (lab(members=3), lab(etcd=SHARED, prefix="/other")):
        assert Topology.from_json(topology.to_json()) == topology


def test_the_cluster_file_lists_every_server_with_its_files_and_identity() -> None:
    document = yaml.safe_load(documents.cluster_file(lab(), LAYOUT))
    assert document["etcd"]["endpoints"] == ["https://127.0.7.21:2379"]
    assert document["kubernetes"] == {"kubeconfig": "admin.kubeconfig"}
    second = document["apiServers"][1]
    assert second["url"] == "https://127.0.7.12:6443"
    assert second["identity"] == {"hostname": "cp2.try", "advertiseAddress": "10.99.0.2"}
    assert second["encryptionConfig"] == "/a lab/cp2/enc/enc.yaml"
    assert second["manifest"] == "/a lab/cp2/manifests/kube-apiserver.yaml"
    assert second["activation"]["restart"]["command"][-4:] == ["restart", "--directory", "/a lab", "cp2"]


def test_servers_that_reload_are_activated_by_waiting() -> None:
    document = yaml.safe_load(documents.cluster_file(lab(reload=True), LAYOUT))
    assert document["apiServers"][0]["activation"] == {"reload": {"wait": "180s"}}


def test_a_server_starts_without_encryption_flags_unless_it_reloads() -> None:
    for reload in (False, True):
        topology = lab(reload=reload)
        command = flags.apiserver_command(topology.servers[0], topology, LAYOUT)
        mounts = {mount.path for mount in flags.apiserver_mounts(topology.servers[0], topology, LAYOUT)}
        assert ("--encryption-provider-config=/a lab/cp1/enc/enc.yaml" in command) is reload
        assert ("--encryption-provider-config-automatic-reload=true" in command) is reload
        assert ("/a lab/cp1/enc" in mounts) is reload


def test_a_server_on_somebody_elses_etcd_sees_its_certificates_and_uses_its_prefix() -> None:
    topology = lab(etcd=SHARED, prefix="/other")
    command = flags.apiserver_command(topology.servers[0], topology, LAYOUT)
    assert topology.members == ()
    assert "--etcd-servers=https://127.0.9.21:2379" in command
    assert "--etcd-prefix=/other" in command
    assert "/e" in {mount.path for mount in flags.apiserver_mounts(topology.servers[0], topology, LAYOUT)}


def test_etcd_listens_for_nothing_but_mutual_tls() -> None:
    topology = lab(members=3)
    command = flags.etcd_command(topology.members[1], topology, LAYOUT)
    urls = [word for word in command if "-urls=" in word]
    assert urls
    assert all("=https://127.0.7.22:" in word for word in urls)
    assert {"--client-cert-auth=true", "--peer-client-cert-auth=true"} <= set(command)
    assert any(word.count("https://") == 3 for word in command if word.startswith("--initial-cluster="))


def test_the_environment_can_be_evaluated_by_a_shell_whatever_the_path() -> None:
    script = documents.environment(lab(), LAYOUT) + 'printf "%s|%s" "$KEYCTL_CLUSTER" "${PATH%%:*}"'
    answer = subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=True, text=True)
    assert answer.stdout == "/a lab/keyctl.yaml|/a lab/bin"
    assert shlex.split(script.splitlines()[0]) == ["export", "ETCDCTL_ENDPOINTS=https://127.0.7.21:2379"]


def test_the_kubeconfig_carries_all_it_needs() -> None:
    text = documents.kubeconfig(lab(), authority=b"A", certificate=b"C", key=b"K")
    document = yaml.safe_load(text)
    assert document["clusters"][0]["cluster"] == {
        "server": "https://127.0.7.11:6443",
        "certificate-authority-data": "QQ==",
    }
    assert document["users"][0]["user"] == {"client-certificate-data": "Qw==", "client-key-data": "Sw=="}
    assert document["current-context"] == document["contexts"][0]["name"]


@pytest.mark.parametrize("name", ["", "../x", "Lab", "-lab", "a" * 41, "a.b"])
def test_a_name_that_is_no_directory_or_host_name_is_refused(name: str) -> None:
    with pytest.raises(WrongUsageError, match="cannot name a lab"):
        Settings(name=name)


def test_more_servers_than_there_are_addresses_are_refused() -> None:
    with pytest.raises(WrongUsageError, match="10 API servers"):
        Settings(apiservers=10)


def test_a_server_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(WrongUsageError) as caught:
        lab().server("cp4")
    assert caught.value.hints == ("choose one of: cp1, cp2, cp3",)
