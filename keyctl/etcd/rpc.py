"""etcd's API over gRPC: messages and stubs from `api.binpb`, one `Session` an endpoint.

The only module that imports etcd3 or grpc. It decides nothing: no retries, no
choice of endpoint, no mapping to keyctl's errors. `CallError` is the one
exception of a call, and it stays inside `keyctl.etcd`.

etcd3 brings generated code that today's protobuf refuses to load. Messages and
stubs are therefore built at import from etcd's own descriptors, in a private
pool, and take the place of `etcd3.etcdrpc` before etcd3 is imported.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from importlib import resources
from operator import attrgetter
from types import ModuleType
from typing import Any, Protocol, cast

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from keyctl.etcd.heap import share_one_heap
from keyctl.etcd.tls import MutualTls

# gRPC's C core writes to stderr on its own unless told before it is loaded.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
import grpc

_PACKAGE = "etcdserverpb"
_SERVICES = ("KV", "Watch", "Lease", "Cluster", "Maintenance", "Auth")
# etcdserverpb.AlarmRequest.AlarmAction.
_DEACTIVATE = 2
# etcdserverpb.Compare: no key has a version below 0.
_VERSION, _LESS = 0, 2
_WINDOW_BYTES = 1 << 20
_FRAME_BYTES = 1 << 20
# An answer is in memory about three times while it is taken apart. etcd advises against values above 10 MiB; its
# chunks and our pages may become far larger where values grow all at once, and are then asked for in smaller parts.
_MAX_MESSAGE_BYTES = 16 << 20


def _load_api() -> ModuleType:
    """Build the module that etcd3 expects as `etcd3.etcdrpc`: message classes and `…Stub` classes by name."""
    pool = descriptor_pool.DescriptorPool()
    packed = resources.files("keyctl.etcd").joinpath("api.binpb").read_bytes()
    files = descriptor_pb2.FileDescriptorSet.FromString(packed).file
    for file in files:
        pool.Add(file)
    module = ModuleType("etcd3.etcdrpc")
    for message in next(file for file in files if file.package == _PACKAGE).message_type:
        descriptor = pool.FindMessageTypeByName(f"{_PACKAGE}.{message.name}")
        setattr(module, message.name, message_factory.GetMessageClass(descriptor))
    for name in _SERVICES:
        setattr(module, f"{name}Stub", _stub_class(pool.FindServiceByName(f"{_PACKAGE}.{name}")))
    return module


def _stub_class(service: Any) -> type:
    def bind(self: object, channel: Any) -> None:
        for method in service.methods:
            kind = f"{_arity(method.client_streaming)}_{_arity(method.server_streaming)}"
            call = getattr(channel, kind)(
                f"/{service.full_name}/{method.name}",
                request_serializer=message_factory.GetMessageClass(method.input_type).SerializeToString,
                response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
            )
            setattr(self, method.name, call)

    return type(f"{service.name}Stub", (), {"__init__": bind})


def _arity(streaming: bool) -> str:
    return "stream" if streaming else "unary"


_api: Any = _load_api()
sys.modules["etcd3.etcdrpc"] = _api
import etcd3  # noqa: E402 — after its etcdrpc was put in place

# gRPC's threads start with the first channel.
share_one_heap()


class CallError(Exception):
    """A call that failed: gRPC's name of the status, and what the server or gRPC said about it."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class Header(Protocol):
    """Who answered, and the cluster's revision then."""

    cluster_id: int
    member_id: int
    revision: int


class KeyValue(Protocol):
    """One stored value."""

    key: bytes
    value: bytes
    mod_revision: int


class RangeAnswer(Protocol):
    """An answer of Range, or one chunk of RangeStream, where `header` and `count` come with the last chunk only."""

    more: bool
    count: int

    @property
    def header(self) -> Header:
        """Zeros where it was not sent."""
        ...

    @property
    def kvs(self) -> Sequence[KeyValue]:
        """The values, in key order."""
        ...

    def HasField(self, field_name: str) -> bool:  # noqa: N802 — protobuf's name
        """Whether the message field was sent."""
        ...


class StatusAnswer(Protocol):
    """What a member says of itself."""

    version: str
    leader: int
    dbSize: int  # noqa: N815 — etcd's name
    dbSizeInUse: int  # noqa: N815 — etcd's name
    dbSizeQuota: int  # noqa: N815 — etcd's name
    isLearner: bool  # noqa: N815 — etcd's name

    @property
    def header(self) -> Header:
        """Who answered."""
        ...

    @property
    def errors(self) -> Sequence[str]:
        """What the member has to complain about."""
        ...


class MemberEntry(Protocol):
    """A member as the cluster knows it."""

    ID: int
    name: str
    isLearner: bool  # noqa: N815 — etcd's name

    @property
    def clientURLs(self) -> Sequence[str]:  # noqa: N802 — etcd's name
        """Where clients reach it."""
        ...

    @property
    def peerURLs(self) -> Sequence[str]:  # noqa: N802 — etcd's name
        """Where other members reach it."""
        ...


class AlarmEntry(Protocol):
    """An alarm: its member, and the number of its kind."""

    memberID: int  # noqa: N815 — etcd's name
    alarm: int


class SnapshotChunk(Protocol):
    """A piece of a snapshot. `remaining_bytes` does not count the hash that follows the data."""

    remaining_bytes: int
    blob: bytes


class Session:
    """One TLS channel to one endpoint. Connects at the first call; every call raises `CallError`.

    `host` is a name or an address, IPv6 in brackets. `timeout` in seconds limits
    a unary call, and in a stream the wait for each item. With `user`, the
    constructor itself authenticates, and so connects.
    """

    def __init__(
        self,
        host: str,
        port: int,
        tls: MutualTls,
        *,
        timeout: float,
        server_name: str | None = None,
        user: str | None = None,
        password: str | None = None,
    ) -> None:
        options: list[tuple[str, int | str]] = [
            ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
            # gRPC would widen the window while we are slower than etcd: memory must not depend on that.
            ("grpc.http2.bdp_probe", 0),
            ("grpc.http2.lookahead_bytes", _WINDOW_BYTES),
            ("grpc.http2.max_frame_size", _FRAME_BYTES),
            ("grpc.max_reconnect_backoff_ms", 1000),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_http_proxy", 0),
        ]
        if server_name is not None:
            options.append(("grpc.ssl_target_name_override", server_name))
        self._timeout = timeout
        with _mapped():
            self._client = etcd3.client(
                host=host,
                port=port,
                ca_cert=str(tls.ca),
                cert_cert=str(tls.cert),
                cert_key=str(tls.key),
                timeout=timeout,
                user=user,
                password=password,
                grpc_options=options,
            )
        if not self._client.uses_secure_channel:
            raise RuntimeError("etcd3 opened a plaintext channel")

    def range(
        self,
        key: bytes,
        range_end: bytes = b"",
        *,
        limit: int = 0,
        revision: int = 0,
        serializable: bool = False,
        count_only: bool = False,
    ) -> RangeAnswer:
        """Read `key`, or [`key`, `range_end`), in one answer."""
        request = _api.RangeRequest(
            key=key,
            range_end=range_end,
            limit=limit,
            revision=revision,
            serializable=serializable,
            count_only=count_only,
        )
        return cast("RangeAnswer", self._call(self._client.kvstub.Range, request))

    def range_stream(self, key: bytes, range_end: bytes, *, revision: int) -> Generator[RangeAnswer]:
        """Read what this member has of [`key`, `range_end`) at `revision`, in chunks.

        `UNIMPLEMENTED`, before the first one, below etcd 3.7.
        """
        request = _api.RangeRequest(key=key, range_end=range_end, revision=revision, serializable=True)
        with closing(self._stream(self._client.kvstub.RangeStream, request)) as chunks:
            yield from map(attrgetter("range_response"), chunks)

    def compact(self, revision: int, *, physical: bool = False, timeout: float | None = None) -> None:
        """Make every revision before `revision` unreadable; it is deleted later, in the background.

        `physical` waits until this member has deleted it, also where it answers that it was compacted before.
        """
        request = _api.CompactionRequest(revision=revision, physical=physical)
        self._call(self._client.kvstub.Compact, request, timeout)

    def defragment(self, *, timeout: float) -> None:
        """Let the member write its file anew; the answer comes when that is done."""
        self._call(self._client.maintenancestub.Defragment, _api.DefragmentRequest(), timeout)

    def alarms(self) -> Sequence[AlarmEntry]:
        """Every alarm that stands, of any member."""
        # The zeros of its fields ask for all alarms of all members.
        answer = self._call(self._client.maintenancestub.Alarm, _api.AlarmRequest())
        return cast("Sequence[AlarmEntry]", answer.alarms)

    def disarm(self, member: int, alarm: int) -> None:
        """Take back an alarm of a member; no-op where it does not stand."""
        request = _api.AlarmRequest(action=_DEACTIVATE, memberID=member, alarm=alarm)
        self._call(self._client.maintenancestub.Alarm, request)

    def grant_lease(self, seconds: int) -> int:
        """Have a new lease, which no value has; its id. Written to the log like any value, and refused like one."""
        answer = self._call(self._client.leasestub.LeaseGrant, _api.LeaseGrantRequest(TTL=seconds))
        return int(answer.ID)

    def revoke_lease(self, lease: int) -> None:
        """Give a lease back."""
        self._call(self._client.leasestub.LeaseRevoke, _api.LeaseRevokeRequest(ID=lease))

    def members(self) -> Sequence[MemberEntry]:
        """Every member that the cluster knows, linearizable."""
        answer = self._call(self._client.clusterstub.MemberList, _api.MemberListRequest(linearizable=True))
        return cast("Sequence[MemberEntry]", answer.members)

    def auth(self, method: str, **fields: object) -> Any:
        """Put one request to etcd's service Auth: `method` is etcd's name of it, such as UserAdd."""
        # etcd3 keeps this stub for those only who log in.
        stub = _api.AuthStub(self._client.channel)
        request = getattr(_api, f"Auth{method.removeprefix('Auth')}Request")(**fields)
        return self._call(getattr(stub, method), request)

    def write_never(self, key: bytes) -> None:
        """Ask for a write of `key` under a condition that is never true: etcd checks the right, and writes nothing."""
        never = {"key": key, "target": _VERSION, "result": _LESS, "version": 0}
        request = _api.TxnRequest(compare=[never], success=[{"request_put": {"key": key}}])
        self._call(self._client.kvstub.Txn, request)

    def status(self) -> StatusAnswer:
        """Ask the member about itself."""
        return cast("StatusAnswer", self._call(self._client.maintenancestub.Status, _api.StatusRequest()))

    def snapshot(self) -> Generator[SnapshotChunk]:
        """Stream the backend file and then its SHA-256."""
        return self._stream(self._client.maintenancestub.Snapshot, _api.SnapshotRequest())

    def close(self) -> None:
        """Close the channel."""
        self._client.close()

    def _call(self, method: Any, request: Any, timeout: float | None = None) -> Any:
        with _mapped():
            return method(request, timeout=timeout or self._timeout, metadata=self._client.metadata)

    def _stream(self, method: Any, request: Any) -> Generator[Any]:
        with _mapped():
            call = method(request, metadata=self._client.metadata)
        yield from _limit_waits(call, self._timeout, call.cancel)


def _limit_waits(items: Iterator[Any], timeout: float, cancel: Callable[[], object]) -> Generator[Any]:
    """Pass `items` on; `cancel` them when one lets us wait longer than `timeout` seconds, and when we are closed.

    gRPC's own deadline is for the whole stream, which may rightly take long;
    the time the consumer takes must not count either.
    """
    waiting_since: float | None = None
    expired = False
    done = threading.Event()

    def watch() -> None:
        nonlocal expired
        while not done.wait(timeout / 10):
            since = waiting_since
            if since is not None and time.monotonic() - since > timeout:
                expired = True
                cancel()
                return

    threading.Thread(target=watch, name="etcd-stream-watch", daemon=True).start()
    try:
        with _mapped():
            while True:
                waiting_since = time.monotonic()
                item = next(items, None)
                waiting_since = None
                if item is None:
                    return
                yield item
                # A chunk is large: it does not stay while the next one arrives.
                del item
    except CallError as error:
        if expired:
            raise CallError("DEADLINE_EXCEEDED", f"nothing arrived for {timeout:g} s") from error
        raise
    finally:
        done.set()
        cancel()


@contextmanager
def _mapped() -> Generator[None]:
    try:
        yield
    except grpc.RpcError as error:
        raise CallError(error.code().name, error.details() or "") from error
