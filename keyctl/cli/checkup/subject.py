"""What is examined: the cluster of the cluster file, or what this machine's API server manifest tells of one."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from keyctl.cli import own_manifest, wiring
from keyctl.cli.options import Connection
from keyctl.cli.own_manifest import OwnManifest
from keyctl.cluster_file.read import load
from keyctl.cluster_file.settings import (
    ApiServerSettings,
    ClusterSettings,
    EtcdConnection,
    FileKeySettings,
    KubernetesSettings,
    ReloadActivation,
    StaticPodActivation,
)
from keyctl.errors import KeyctlError, WrongUsageError
from keyctl.rotation.diagnosis.look import Place, sentence

T = TypeVar("T")

# Where kubeadm leaves an administrator's credentials on a control-plane node.
_KUBECONFIG = Path("/etc/kubernetes/admin.conf")
_FILE = "/etc/kubernetes/enc/enc.yaml"


@dataclass(frozen=True, slots=True)
class Subject:
    """The cluster: its `settings`, where they are from, and whether they are those of a cluster file.

    Without one only this machine's API server is known, and there is no key store.
    """

    settings: ClusterSettings
    origin: str
    described: bool

    @property
    def prefix(self) -> str:
        """The storage prefix without a trailing slash."""
        return self.settings.etcd.prefix.rstrip("/")

    @property
    def connections(self) -> tuple[tuple[str, EtcdConnection], ...]:
        """Every etcd, the main one first, with what it is called."""
        etcd = self.settings.etcd
        return (("", etcd.connection), *((other.resources[0], other.connection) for other in etcd.others))


def find(given: Connection) -> Subject:
    """The cluster that `given` names, or that is found from here.

    Raises `WrongUsageError` when there is neither a cluster file nor a manifest, and what reading them raises.
    """
    path = wiring.find_cluster_file(given.cluster)
    if path is not None:
        settings, origin, described = load(path), str(path), True
    elif (own := own_manifest.find()) is not None:
        settings, origin, described = _around(own), str(own.path), False
    else:
        raise WrongUsageError(
            "no cluster file, and no API server's manifest on this machine",
            hint="write keyctl.yaml (docs/cluster-file.md), name one with --cluster, or run this on a control-plane "
            "node; to try it: keyctl lab up",
        )
    etcd = replace(settings.etcd, connection=wiring.with_flags(settings.etcd.connection, given))
    etcd = replace(etcd, prefix=f"/{given.etcd_prefix.strip('/')}" if given.etcd_prefix else etcd.prefix)
    return Subject(replace(settings, etcd=etcd), origin, described)


def place(subject: Subject, server: ApiServerSettings) -> Place:
    """The ways to one API server; a way that there is not is a sentence."""
    host, no_host, _ = _way(lambda: wiring.host(server))
    api, no_api, mend_api = _way(lambda: wiring.api_server(subject.settings, server))
    return Place(
        name=server.name,
        path=server.encryption_config,
        manifest=server.manifest,
        reloads=isinstance(server.activation, ReloadActivation),
        host=host,
        no_host=no_host,
        api=api,
        no_api=no_api,
        mend_api=mend_api,
    )


def _way(make: Callable[[], T]) -> tuple[T | None, str, str]:
    """The way, or why there is none and what mends that."""
    try:
        return make(), "", ""
    except KeyctlError as error:
        return None, sentence(error), "; ".join(error.hints)


def _around(own: OwnManifest) -> ClusterSettings:
    """A cluster of which nothing is known but this machine's API server."""
    flags = own.flags
    address = flags.get("advertise-address") or flags.get("bind-address") or "127.0.0.1"
    host = f"[{address}]" if ":" in address else address
    activation = ReloadActivation() if flags.automatic_reload else StaticPodActivation()
    server = ApiServerSettings(
        name="this API server",
        url=f"https://{host}:{flags.get('secure-port') or '6443'}",
        encryption_config=flags.encryption_provider_config or _FILE,
        manifest=str(own.path),
        activation=activation,
    )
    kubeconfig = None if os.environ.get("KUBECONFIG") or not _readable(_KUBECONFIG) else _KUBECONFIG
    return ClusterSettings(
        name="this cluster",
        etcd=own.etcd,
        keys=FileKeySettings(Path("keys")),
        kubernetes=KubernetesSettings(kubeconfig),
        api_servers=(server,),
    )


def _readable(path: Path) -> bool:
    return os.access(path, os.R_OK)
