"""Write to a real etcd in tests: keyctl's own client cannot, on purpose."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from types import TracebackType

import keyctl.etcd.rpc  # noqa: F401 — puts the messages in place that etcd3 needs
from tests.support.etcd_process import RunningEtcd

import etcd3  # isort: skip — only after the line above

_TXN_OPERATIONS = 100


class EtcdWriter:
    """Puts, deletes and compacts; a context manager."""

    def __init__(self, etcd: RunningEtcd) -> None:
        tls = etcd.tls
        self._client = etcd3.client(
            host="127.0.0.1",
            port=etcd.port,
            ca_cert=str(tls.ca),
            cert_cert=str(tls.cert),
            cert_key=str(tls.key),
            timeout=10,
        )

    def put(self, items: Iterable[tuple[bytes, bytes]]) -> int:
        """Write the items, up to 100 a transaction; the revision of the last one."""
        rpc, revision, remaining = etcd3.etcdrpc, 0, iter(items)
        while part := list(islice(remaining, _TXN_OPERATIONS)):
            puts = [rpc.RequestOp(request_put=rpc.PutRequest(key=key, value=value)) for key, value in part]
            revision = self._client.kvstub.Txn(rpc.TxnRequest(success=puts), timeout=10).header.revision
        return revision

    def delete(self, key: bytes) -> None:
        """Delete one key."""
        self._client.kvstub.DeleteRange(etcd3.etcdrpc.DeleteRangeRequest(key=key), timeout=10)

    def compact(self, revision: int) -> None:
        """Forget all that is older than `revision`."""
        self._client.kvstub.Compact(etcd3.etcdrpc.CompactionRequest(revision=revision, physical=True), timeout=10)

    def __enter__(self) -> EtcdWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()
