"""What somebody does to etcd behind everybody's back, with etcdctl; and what stands there, to compare."""

from __future__ import annotations

import base64
import json
import subprocess

from keyctl.lab.topology import EtcdAccess
from tests.support.binaries import binary


def put(etcd: EtcdAccess, key: str, value: bytes) -> int:
    """Write one value; the revision that it got."""
    return _revision(_etcdctl(etcd, "put", key, "-w", "json", value=value))


def delete(etcd: EtcdAccess, key: str) -> None:
    """Delete one key."""
    _etcdctl(etcd, "del", key)


def value_of(etcd: EtcdAccess, key: str) -> bytes:
    """The value of one key."""
    (pair,) = json.loads(_etcdctl(etcd, "get", key, "-w", "json"))["kvs"]
    return base64.b64decode(pair["value"])


def compact(etcd: EtcdAccess, revision: int) -> None:
    """Forget all that is older than `revision`."""
    _etcdctl(etcd, "compact", str(revision))


def stands(etcd: EtcdAccess, prefix: str) -> dict[str, int]:
    """Every key that starts with `prefix`, and the revision of its last change."""
    pairs = json.loads(_etcdctl(etcd, "get", "--prefix", prefix, "-w", "json")).get("kvs", [])
    return {base64.b64decode(pair["key"]).decode(errors="backslashreplace"): pair["mod_revision"] for pair in pairs}


def _revision(answer: bytes) -> int:
    revision: int = json.loads(answer)["header"]["revision"]
    return revision


def _etcdctl(etcd: EtcdAccess, *arguments: str, value: bytes = b"") -> bytes:
    access = [f"--endpoints={etcd.endpoints[0]}", f"--cacert={etcd.cacert}", f"--cert={etcd.cert}", f"--key={etcd.key}"]
    command = [str(binary("etcdctl")), *access, *arguments]
    return subprocess.run(command, input=value, stdout=subprocess.PIPE, check=True, timeout=60).stdout
