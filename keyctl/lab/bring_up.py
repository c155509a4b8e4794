"""Bring a lab up in a directory claimed for it: certificates, manifests, etcd, API servers, the user's files."""

from __future__ import annotations

import shlex
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from keyctl.errors import UnusableInputError
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


# NOTE: webhooks and policies of the cluster that a backup is from are not here to be asked, and only reading is meant.
_NO_WEBHOOKS = (
    "--disable-admission-plugins=MutatingAdmissionWebhook,ValidatingAdmissionWebhook,"
    "MutatingAdmissionPolicy,ValidatingAdmissionPolicy"
)
_RESTORE_SECONDS = 600
# What is restored may have more objects and definitions than a lab of its own, and an API server looks at all of them.
_RESTORED_SECONDS = 240.0


@dataclass(frozen=True, slots=True)
class Origin:
    """What a lab begins with instead of nothing: a snapshot of etcd, and the configuration that reads it.

    `digest`: the snapshot ends with its SHA-256.
    """

    snapshot: Path
    encryption: bytes = field(repr=False)
    digest: bool


def bring_up(
    settings: Settings,
    layout: Layout,
    programs: dict[str, Path],
    progress: Callable[[str], None],
    origin: Origin | None = None,
) -> Topology:
    """Start everything and return when all of it is ready; with `origin`, one member on what is restored from it.

    Raises `UnusableInputError` for a snapshot that etcdutl does not restore, `PortTakenError` when somebody took a
    port meanwhile, `UnreachableError` when a server does not become ready; what was started is the caller's to stop.
    """
    topology = _placed(settings, layout, programs)
    _write_server_files(topology, layout, origin)
    if topology.members:
        if origin is not None:
            progress(f"restoring {origin.snapshot.name} into an etcd of its own")
            _restore(origin, topology, layout)
        progress(f"starting etcd {ETCD_VERSION}: {len(topology.members)} on {topology.etcd.endpoints[0]}")
        _start_etcd(topology, layout)
    if topology.servers:
        names = ", ".join(f"{server.name} on {server.url}" for server in topology.servers)
        progress(f"starting kube-apiserver {KUBERNETES_VERSIONS[settings.kubernetes]}: {names}")
        if origin is None:
            _start_api_servers(topology, layout)
        else:
            _start_restored(topology, layout)
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


def _write_server_files(topology: Topology, layout: Layout, origin: Origin | None) -> None:
    for directory in (layout.run, layout.bin):
        directory.mkdir(mode=0o700)
    for name, path in topology.binaries.items():
        (layout.bin / name).symlink_to(path)
    write_file(layout.state, topology.to_json().encode(), mode=0o600)
    write_certificates(topology, layout, now=datetime.now(UTC))
    version = _version(topology)
    for server in topology.servers:
        _write_manifest(server, topology, layout, version, origin)
    write_file(layout.environment, documents.environment(topology, layout).encode(), mode=0o600)
    if topology.servers:
        _write_access(topology, layout)


def _version(topology: Topology) -> str:
    """The version for the manifests: an installed kube-apiserver may be of another patch level than one built here."""
    wanted = KUBERNETES_VERSIONS[topology.settings.kubernetes]
    said = version_of(Path(topology.binaries[manifest.PROGRAM]), manifest.PROGRAM) if topology.servers else None
    return ".".join(map(str, said)) if said else wanted


def _write_manifest(server: Server, topology: Topology, layout: Layout, version: str, origin: Origin | None) -> None:
    files = layout.server(server.name)
    text = manifest.render(
        (*flags.apiserver_command(server, topology, layout), *((_NO_WEBHOOKS,) if origin else ())),
        flags.apiserver_mounts(server, topology, layout),
        version=version,
    )
    files.manifest.parent.mkdir(mode=0o700)
    write_file(files.manifest, text.encode(), mode=0o600)
    if topology.settings.reload:
        files.encryption_config.parent.mkdir(mode=0o700)
        content = origin.encryption if origin else flags.PLAIN_ENCRYPTION_CONFIG.encode()
        write_file(files.encryption_config, content, mode=0o600)


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
    files.data.mkdir(mode=0o700, exist_ok=True)
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


def _restore(origin: Origin, topology: Topology, layout: Layout) -> None:
    """Make the data directory of the one member from the snapshot, by etcd's own program."""
    (member,) = topology.members
    command = [
        *(topology.binaries["etcdutl"], "snapshot", "restore", str(origin.snapshot.absolute())),
        f"--data-dir={layout.member(member.name).data}",
        f"--name={member.name}",
        f"--initial-cluster={member.name}={member.peer_url}",
        f"--initial-cluster-token={topology.settings.name}",
        f"--initial-advertise-peer-urls={member.peer_url}",
        *(() if origin.digest else ("--skip-hash-check",)),
    ]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=_RESTORE_SECONDS)  # noqa: S603 — our programs
    except subprocess.SubprocessError as error:
        said = getattr(error, "stderr", None) or b""
        raise UnusableInputError(
            f"etcdutl does not restore {origin.snapshot}",
            cause=said.decode(errors="replace").strip().splitlines()[-1] if said.strip() else type(error).__name__,
            hint=f"keyctl snapshot verify {shlex.quote(str(origin.snapshot))} says whether the file is whole",
        ) from error


def _start_restored(topology: Topology, layout: Layout) -> None:
    """Start the API servers; whom their Endpoints name is nobody's concern: those of before may still be there."""
    starting = [start_server(server, topology, layout) for server in topology.servers]
    hint = "a value that it cannot read keeps a server from being ready"
    wait_until_ready(starting, admin_credentials(layout).context(), seconds=_RESTORED_SECONDS, hint=hint)


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
