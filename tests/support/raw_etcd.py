"""Raw etcd as etcdctl shows it: independent of keyctl's own reading."""

from __future__ import annotations

import base64
import json
import subprocess

from keyctl.lab.plane import Lab
from tests.support.binaries import binary


def raw_values(lab: Lab, resource: str) -> list[tuple[bytes, bytes]]:
    """(key, value) of every stored value of a built-in `resource`, by etcdctl."""
    prefix = f"{lab.topology.settings.prefix}/{resource}/"
    access = lab.etcd
    command = [str(binary("etcdctl")), "get", "--prefix", prefix, "-w", "json", f"--endpoints={access.endpoints[0]}"]
    command += [f"--cacert={access.cacert}", f"--cert={access.cert}", f"--key={access.key}"]
    answer = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
    return [(base64.b64decode(kv["key"]), base64.b64decode(kv["value"])) for kv in answer.get("kvs", [])]


def heads_of(lab: Lab, resource: str) -> set[bytes]:
    """The distinct starts of the values: up to the colon after the key's name, or the first four bytes of plaintext."""
    return {
        b":".join(value.split(b":", 5)[:5]) + b":" if value.startswith(b"k8s:enc:") else value[:4]
        for _, value in raw_values(lab, resource)
    }
