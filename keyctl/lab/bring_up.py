"""Bring a lab up in a directory claimed for it: certificates, manifests, etcd, API servers, the user's files."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from keyctl.lab import documents, flags, manifest
from keyctl.lab.build import version_of
from keyctl.lab.certificates import write_certificates
from keyctl.lab.kubelet import READY_SECONDS, admin_credentials, start_server
from keyctl.lab.layout import Layout
from keyctl.lab.network import Credentials, free_ports, some_network
from keyctl.lab.processes import Program, own_hostname_command, start
from keyctl.lab.readiness import Starting, wait_until_counted, wait_until_listening, wait_until_ready
from keyctl.lab.topology import Member, Server, Settings, Topology, arrange
from keyctl.lab.versions import ETCD_VERSION, KUBERNETES_VERSIONS
from keyctl.pki.issue import write_file

_SLOW_HINT = "an API server needs 300 MB and a share of a CPU: look at free -m, or start fewer: --apiservers 1"


def bring_up(
    settings: Settings, layout: Layout, programs: dict[str, Path], progress: Callable[[str], None]
) -> Topology:
    """Start everything and return when all of it is ready.

    Raises `PortTakenError` when somebody took a port meanwhile, `UnreachableError` when a server does not become
    ready; what was started is the caller's to stop.
    """
    topology = _placed(settings, layout, programs)
    _write_server_files(topology, layout)
    if topology.members:
        progress(f"starting etcd {ETCD_VERSION}: {len(topology.members)} on {topology.etcd.endpoints[0]}")
        _start_etcd(topology, layout)
    if topology.servers:
        names = ", ".join(f"{server.name} on {server.url}" for server in topology.servers)
        progress(f"starting kube-apiserver {KUBERNETES_VERSIONS[settings.kubernetes]}: {names}")
        _start_api_servers(topology, layout)
    return topology


def _placed(settings: Settings, layout: Layout, programs: dict[str, Path]) -> Topology:
    topology = arrange(
        settings,
        layout.root,
        network=some_network(),
        shared_hostname=socket.gethostname(),
        binaries=programs,
        namespace=own_hostname_command(),
    )
    client, peer = free_ports((member.address for member in topology.members), 2)
    (api,) = free_ports((server.address for server in topology.servers), 1)
    return topology.moved(client, peer, api)


def _write_server_files(topology: Topology, layout: Layout) -> None:
    for directory in (layout.run, layout.bin):
        directory.mkdir(mode=0o700)
    for name, path in topology.binaries.items():
        (layout.bin / name).symlink_to(path)
    write_file(layout.state, topology.to_json().encode(), mode=0o600)
    write_certificates(topology, layout, now=datetime.now(UTC))
    version = _version(topology)
    for server in topology.servers:
        _write_manifest(server, topology, layout, version)
    write_file(layout.environment, documents.environment(topology, layout).encode(), mode=0o600)
    if topology.servers:
        _write_access(topology, layout)


def _version(topology: Topology) -> str:
    """The version for the manifests: an installed kube-apiserver may be of another patch level than one built here."""
    wanted = KUBERNETES_VERSIONS[topology.settings.kubernetes]
    said = version_of(Path(topology.binaries[manifest.PROGRAM]), manifest.PROGRAM) if topology.servers else None
    return ".".join(map(str, said)) if said else wanted


def _write_manifest(server: Server, topology: Topology, layout: Layout, version: str) -> None:
    files = layout.server(server.name)
    text = manifest.render(
        flags.apiserver_command(server, topology, layout),
        flags.apiserver_mounts(server, topology, layout),
        version=version,
    )
    files.manifest.parent.mkdir(mode=0o700)
    write_file(files.manifest, text.encode(), mode=0o600)
    if topology.settings.reload:
        files.encryption_config.parent.mkdir(mode=0o700)
        write_file(files.encryption_config, flags.PLAIN_ENCRYPTION_CONFIG.encode(), mode=0o600)


def _write_access(topology: Topology, layout: Layout) -> None:
    admin = admin_credentials(layout)
    kubeconfig = documents.kubeconfig(
        topology,
        authority=admin.cacert.read_bytes(),
        certificate=admin.cert.read_bytes(),
        key=admin.key.read_bytes(),
    )
    write_file(layout.kubeconfig, kubeconfig.encode(), mode=0o600)
    write_file(layout.cluster_file, documents.cluster_file(topology, layout).encode(), mode=0o600)


def _start_etcd(topology: Topology, layout: Layout) -> None:
    etcd = topology.etcd
    starting = [_start_member(member, topology, layout) for member in topology.members]
    context = Credentials(Path(etcd.cacert), Path(etcd.cert), Path(etcd.key)).context()
    wait_until_ready(starting, context, seconds=READY_SECONDS, hint=_SLOW_HINT)


def _start_member(member: Member, topology: Topology, layout: Layout) -> Starting:
    files = layout.member(member.name)
    files.data.mkdir(mode=0o700)
    command = flags.etcd_command(member, topology, layout)
    process = start(Program(command=command, record=layout.record(member.name), log=files.log))
    return Starting(
        name=member.name,
        process=process,
        url=f"{member.client_url}/readyz",
        log=files.log,
        log_start=0,
        holds_keys=False,
    )


def _start_api_servers(topology: Topology, layout: Layout) -> None:
    first, *others = topology.servers
    context = admin_credentials(layout).context()
    starting = [_start_api_server(first, topology, layout)]
    # NOTE: servers that create the kubernetes Service at the same instant trip over its address; the one that
    # loses registers itself ten seconds later.
    wait_until_listening(starting[0], context, seconds=READY_SECONDS, hint=_SLOW_HINT)
    starting += [_start_api_server(server, topology, layout) for server in others]
    wait_until_ready(starting, context, seconds=READY_SECONDS, hint=_SLOW_HINT)
    expected = frozenset(server.advertise for server in topology.servers)
    wait_until_counted(first.url, context, expected, seconds=READY_SECONDS)


def _start_api_server(server: Server, topology: Topology, layout: Layout) -> Starting:
    # NOTE: the EncryptionConfiguration it starts with is ours and holds no key: its log may be shown.
    return replace(start_server(server, topology, layout), holds_keys=False)
