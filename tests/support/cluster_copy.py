"""Cluster files that say something else than the lab's own, and proof that a refusal left the cluster as it was."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypedDict, cast

import yaml

from keyctl.lab.plane import Lab
from tests.support import by_hand


class ClusterFile(TypedDict):
    """What tests change of a cluster file."""

    etcd: dict[str, object]
    kubernetes: dict[str, str]
    apiServers: list[dict[str, object]]
    keys: dict[str, str]
    policy: dict[str, object]


def cluster_copy(lab: Lab, path: Path, edit: Callable[[ClusterFile], object]) -> Path:
    """The lab's cluster file at `path`, after `edit`; it means the same kubeconfig and key store."""
    document = cast("ClusterFile", yaml.safe_load(lab.cluster_file.read_text()))
    document["kubernetes"]["kubeconfig"] = str(lab.layout.kubeconfig)
    document["keys"]["directory"] = str(lab.cluster_file.parent / "keys")
    edit(document)
    path.write_text(yaml.safe_dump(document))
    return path


@contextlib.contextmanager
def untouched(lab: Lab, state: Path) -> Iterator[None]:
    """Whatever happens inside changes no file of a server, no key, no Secret or ConfigMap, takes no Lease, begins
    nothing in the journals below `state`.
    """
    before = _marks(lab, state)
    yield
    assert _marks(lab, state) == before


def _marks(lab: Lab, state: Path) -> dict[str, object]:
    places = [lab.layout.server(server.name).directory / part for server in lab.topology.servers for part in _PARTS]
    files = (file for place in (*places, lab.cluster_file.parent / "keys") for file in place.rglob("*"))
    found: dict[str, object] = {str(file): _hash(file) for file in (*files, *state.rglob("journal.jsonl"))}
    prefix = lab.topology.settings.prefix
    watched = tuple(f"{prefix}/{place}" for place in ("secrets/", "configmaps/", "leases/kube-system/keyctl-rotation"))
    stands = by_hand.stands(lab.etcd, f"{prefix}/")
    return found | {key: revision for key, revision in stands.items() if key.startswith(watched)}


_PARTS = ("enc", "manifests")


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "directory"
