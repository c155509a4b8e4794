"""What the API server's manifest on this machine tells, where there is no cluster file: its flags, and its etcds.

Reads that one file and connects nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from keyctl.cli import wiring
from keyctl.cli.files import read_regular, unreadable
from keyctl.cluster_file.settings import EtcdConnection, EtcdOverride, EtcdSettings
from keyctl.hosts.manifests import Flags, read_flags

_WHAT = "the API server's manifest"


@dataclass(frozen=True, slots=True)
class OwnManifest:
    """The manifest at `path`: the server's `flags`, and the etcds behind it as it reaches them."""

    path: Path
    flags: Flags
    etcd: EtcdSettings


def find() -> OwnManifest | None:
    """The manifest of this machine's API server; None where there is none.

    Raises `UnusableInputError` for one that cannot be looked at, or is none.
    """
    path = wiring.MANIFEST
    if not _is_there():
        return None
    flags = read_flags(read_regular(path, _WHAT), name=str(path))
    return OwnManifest(path, flags, _etcd(flags))


def _is_there() -> bool:
    """Whether this machine has a manifest. Raises `UnusableInputError` when that cannot be told."""
    try:
        return wiring.MANIFEST.is_file()
    except OSError as exc:
        raise unreadable(_WHAT, wiring.MANIFEST, exc) from exc


def _etcd(flags: Flags) -> EtcdSettings:
    connection = EtcdConnection(
        endpoints=flags.etcd_servers,
        cacert=_path(flags, "etcd-cafile"),
        cert=_path(flags, "etcd-certfile"),
        key=_path(flags, "etcd-keyfile"),
    )
    # kube-apiserver reaches every etcd with the same files.
    overrides = tuple(
        EtcdOverride((resource,), replace(connection, endpoints=endpoints))
        for resource, endpoints in flags.etcd_servers_overrides
    )
    # As kube-apiserver reads it: a leading slash is added, a trailing one means nothing.
    prefix = f"/{flags.etcd_prefix.strip('/')}" if flags.etcd_prefix else EtcdSettings(connection).prefix
    return EtcdSettings(connection, prefix, overrides=overrides)


def _path(flags: Flags, name: str) -> Path | None:
    value = flags.get(name)
    return Path(value) if value else None
