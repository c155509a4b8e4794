"""A KMS v2 plugin over gRPC on a Unix socket; the only module here that imports grpc.

Messages are built at import from `api.binpb`, the API as Kubernetes publishes it, in a private pool. Decides nothing:
no retries, no judgement. Every call has a time limit, and no exception of gRPC leaves.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from importlib import resources
from types import TracebackType
from typing import Any, Self

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from keyctl.kms.endpoint import Endpoint
from keyctl.kms.interface import Failed, Sealed, Status, Timed

# gRPC's C core writes to stderr on its own unless told before it is loaded.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
import grpc

SERVICE = "v2.KeyManagementService"
# kube-apiserver's client takes no more than this either (gRPC's default in Go).
_MAX_MESSAGE_BYTES = 4 << 20


def messages() -> dict[str, Any]:
    """The message classes of the API by name, such as `EncryptRequest`."""
    pool = descriptor_pool.DescriptorPool()
    packed = resources.files("keyctl.kms").joinpath("api.binpb").read_bytes()
    (file,) = descriptor_pb2.FileDescriptorSet.FromString(packed).file
    pool.Add(file)
    names = [message.name for message in file.message_type]
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"v2.{name}")) for name in names}


_API = messages()


class PluginClient:
    """A `Plugin` at `endpoint`. Connects at the first call; `timeout` in seconds limits each one."""

    def __init__(self, endpoint: Endpoint, *, timeout: float) -> None:
        self._timeout = timeout
        self._channel = grpc.insecure_channel(
            endpoint.target,
            options=[
                # As kube-apiserver names it: some servers refuse the path of a socket as an authority.
                ("grpc.default_authority", "localhost"),
                ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.enable_http_proxy", 0),
            ],
        )
        self._status = self._method("Status")
        self._encrypt = self._method("Encrypt")
        self._decrypt = self._method("Decrypt")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    def status(self) -> Timed[Status] | Failed:
        """See `Plugin.status`."""
        answer = self._call(self._status, _API["StatusRequest"]())
        if isinstance(answer, Failed):
            return answer
        said = answer.value
        return Timed(Status(said.version, said.healthz, said.key_id), answer.seconds)

    def encrypt(self, plaintext: bytes, uid: str) -> Timed[Sealed] | Failed:
        """See `Plugin.encrypt`."""
        answer = self._call(self._encrypt, _API["EncryptRequest"](plaintext=plaintext, uid=uid))
        if isinstance(answer, Failed):
            return answer
        said = answer.value
        return Timed(Sealed(said.ciphertext, said.key_id, dict(said.annotations)), answer.seconds)

    def decrypt(self, sealed: Sealed, uid: str) -> Timed[bytes] | Failed:
        """See `Plugin.decrypt`."""
        request = _API["DecryptRequest"](
            ciphertext=sealed.ciphertext, uid=uid, key_id=sealed.key_id, annotations=dict(sealed.annotations)
        )
        answer = self._call(self._decrypt, request)
        return answer if isinstance(answer, Failed) else Timed(bytes(answer.value.plaintext), answer.seconds)

    def _method(self, name: str) -> Callable[..., Any]:
        call: Callable[..., Any] = self._channel.unary_unary(
            f"/{SERVICE}/{name}",
            request_serializer=_API[f"{name}Request"].SerializeToString,
            response_deserializer=_API[f"{name}Response"].FromString,
        )
        return call

    def _call(self, method: Callable[..., Any], request: Any) -> Timed[Any] | Failed:
        started = time.monotonic()
        try:
            answer = method(request, timeout=self._timeout)
        except grpc.RpcError as error:
            return Failed(error.code().name, error.details() or "", time.monotonic() - started)
        return Timed(answer, time.monotonic() - started)
