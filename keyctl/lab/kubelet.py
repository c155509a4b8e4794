"""The lab's kubelet: starts, stops and restarts a server with exactly the command of its static pod manifest."""

from __future__ import annotations

from keyctl.errors import UnusableInputError
from keyctl.lab import manifest
from keyctl.lab.layout import Layout
from keyctl.lab.locking import locked
from keyctl.lab.network import Credentials
from keyctl.lab.processes import ProcessId, Program, start, stop
from keyctl.lab.readiness import Starting, wait_until_ready
from keyctl.lab.topology import Server, Topology

READY_SECONDS = 60.0
# NOTE: kube-apiserver lets requests end first; longer than its --request-timeout, and what a kubelet gives a pod.
GRACE_SECONDS = 30.0
_ENCRYPTION_FLAG = "--encryption-provider-config"


def start_server(server: Server, topology: Topology, layout: Layout) -> Starting:
    """Start one API server as its manifest says.

    Raises `UnusableInputError` for a manifest that a kubelet would not start, or whose container would lack a file.
    """
    files = layout.server(server.name)
    pod = manifest.parse(files.manifest.read_text(), server.name)
    unseen = pod.unseen()
    if unseen:
        raise UnusableInputError(
            f"kube-apiserver of {server.name} would not see {unseen[0]}",
            cause="no volumeMount of its manifest covers it",
            hint=f"add a hostPath volume and a volumeMount for its directory to {files.manifest}",
        )
    log_start = files.log.stat().st_size if files.log.exists() else 0
    program = pod.command[0]
    process = start(
        Program(
            command=(topology.binaries.get(program, program), *pod.command[1:]),
            record=layout.record(server.name),
            log=files.log,
            namespace=topology.namespace,
            hostname=server.hostname if topology.namespace else "",
        )
    )
    holds_keys = any(word.startswith(_ENCRYPTION_FLAG) for word in pod.command)
    return Starting(
        name=server.name,
        process=process,
        url=f"{server.url}/readyz",
        log=files.log,
        log_start=log_start,
        holds_keys=holds_keys,
    )


def stop_server(name: str, layout: Layout) -> None:
    """End one API server as a kubelet does; a server that does not run is fine."""
    process = ProcessId.read(layout.record(name))
    if process is not None:
        stop(process, grace=GRACE_SECONDS)


def restart_server(name: str, layout: Layout, *, seconds: float = READY_SECONDS) -> ProcessId:
    """Stop one API server, start it anew from its manifest, return when it is ready.

    Raises `UnreachableError` when it does not become ready within `seconds`: it is then left as it is.
    """
    topology = Topology.from_json(layout.state.read_text())
    server = topology.server(name)
    # NOTE: whoever ran us may have been killed and be running us again: the second waits for the first.
    with locked(layout.server(name).directory, patience=GRACE_SECONDS + seconds):
        stop_server(name, layout)
        starting = start_server(server, topology, layout)
        hint = f"read its log yourself: tail {starting.log}"
        wait_until_ready([starting], admin_credentials(layout).context(), seconds=seconds, hint=hint)
    return starting.process


def admin_credentials(layout: Layout) -> Credentials:
    """What the lab asks its own API servers with."""
    return Credentials(layout.pki / "ca.crt", layout.pki / "admin.crt", layout.pki / "admin.key")
