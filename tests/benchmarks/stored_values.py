"""Secrets as kube-apiserver stores them, sealed and put straight into etcd: many, quickly, and all alike in size."""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

import keyctl.etcd.rpc  # noqa: F401 — puts the messages in place that etcd3 needs
from keyctl.keys.key import Key
from keyctl.lab.topology import EtcdAccess
from tests.support import seal

import etcd3  # isort: skip — only after keyctl.etcd.rpc

_A_NAMESPACE_HOLDS = 200
_PASSWORD_BYTES = 880
_A_TRANSACTION_HOLDS = 100
_IN_FLIGHT = 8
_TIMEOUT = 60


def sealed_secrets(prefix: str, key: Key, count: int) -> Iterator[tuple[bytes, bytes]]:
    """`count` Secrets of 1.1 KB under `key`, in namespaces of 200, as (etcd key, value)."""
    for number in range(count):
        namespace, name = f"team-{number // _A_NAMESPACE_HOLDS:05d}", f"login-{number:07d}"
        etcd_key = f"{prefix}/secrets/{namespace}/{name}".encode()
        yield etcd_key, seal.seal(key, etcd_key, seal.secret(name, namespace, size=_PASSWORD_BYTES))


def put(etcd: EtcdAccess, items: Iterable[tuple[bytes, bytes]]) -> None:
    """Write `items` in transactions of 100, several on the way at once: keyctl's own client cannot write."""
    host, _, port = etcd.endpoints[0].removeprefix("https://").rpartition(":")
    client = etcd3.client(
        host=host, port=int(port), ca_cert=etcd.cacert, cert_cert=etcd.cert, cert_key=etcd.key, timeout=_TIMEOUT
    )
    rpc, remaining = etcd3.etcdrpc, iter(items)
    # gRPC's futures have no type that is known here.
    sent: deque[Any] = deque()
    try:
        while part := list(islice(remaining, _A_TRANSACTION_HOLDS)):
            puts = [rpc.RequestOp(request_put=rpc.PutRequest(key=key, value=value)) for key, value in part]
            sent.append(client.kvstub.Txn.future(rpc.TxnRequest(success=puts), timeout=_TIMEOUT))
            if len(sent) > _IN_FLIGHT:
                sent.popleft().result()
        for transaction in sent:
            transaction.result()
    finally:
        client.close()


def write_config(path: Path, *keys: Key) -> Path:
    """An EncryptionConfiguration for Secrets: `keys`, all of one provider, the first one writing; then identity."""
    ring = [{"name": key.name, "secret": base64.b64encode(key.material).decode()} for key in keys]
    providers = [{keys[0].provider.value: {"keys": ring}}, {"identity": {}}]
    document = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{"resources": ["secrets"], "providers": providers}],
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(document))
    return path
