"""A small real KMS v2 plugin: AES-GCM behind a Unix socket, its keys in a file. A process of its own.

`python -m tests.support.kms_plugin SOCKET KEYS [--fault FAULT]` serves until it is told to stop. SIGHUP rotates the
key: a new one seals from then on, and every earlier one opens. The key id is a hash of the key, so none comes twice.
The faults are lies and failures that `keyctl kms check` must find.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keyctl.kms.client import SERVICE, messages

# NOTE: behind keyctl's own, which tells gRPC to be quiet before it is loaded.
import grpc  # isort: skip

ROOT = Path(__file__).parents[2]
_START_SECONDS = 20.0
_API = messages()
_NONCE_BYTES = 12
_HANG_SECONDS = 30.0

FAULTS = (
    "unhealthy",
    "hang-status",
    "hang-encrypt",
    "hang-decrypt",
    "lies-ok",
    "no-decrypt",
    "other-key-id",
    "empty-key-id",
    "long-key-id",
    "restless-key-id",
    "two-key-ids",
    "version-v1",
    "long-ciphertext",
    "empty-ciphertext",
    "plain-annotation",
    "bad-annotation",
    "big-annotation",
    "unauthenticated",
    "wrong-plaintext",
    "forgets",
    "slow",
)


class Keys:
    """The keys of the plugin, oldest first, kept in a file that only its owner reads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys = [bytes.fromhex(key) for key in json.loads(path.read_text())] if path.exists() else []
        if not self._keys:
            self.rotate()

    def rotate(self) -> None:
        """A new key in front of what seals."""
        self._keys.append(secrets.token_bytes(32))
        draft = self._path.with_suffix(".new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump([key.hex() for key in self._keys], file)
        draft.replace(self._path)

    def newest(self) -> tuple[str, bytes]:
        """What seals now: key id and key."""
        return self.name(self._keys[-1]), self._keys[-1]

    def named(self, key_id: str) -> bytes | None:
        """The key of that id, None where there never was one."""
        return next((key for key in self._keys if self.name(key) == key_id), None)

    @staticmethod
    def name(key: bytes) -> str:
        return hashlib.sha256(b"tests.support.kms_plugin" + key).hexdigest()


class Service:
    """The three calls. `fault` is one of `FAULTS`, or empty."""

    def __init__(self, keys: Keys, fault: str) -> None:
        self.keys, self.fault = keys, fault
        self._count = itertools.count()

    def status(self, _request: Any, context: grpc.ServicerContext) -> Any:
        self._delay("hang-status")
        if self.fault == "slow":
            time.sleep(0.06)
        (key_id, _), number = self.keys.newest(), next(self._count)
        ids = {
            "empty-key-id": "",
            "long-key-id": "k" * 1025,
            "restless-key-id": f"{key_id}-{number}",
            "two-key-ids": f"{key_id}-{number % 2}",
        }
        return _API["StatusResponse"](
            version="v1" if self.fault == "version-v1" else "v2",
            healthz="the vault is sealed" if self.fault == "unhealthy" else "ok",
            key_id=ids.get(self.fault, key_id),
        )

    def encrypt(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._delay("hang-encrypt")
        if self.fault in ("lies-ok", "unhealthy"):
            context.abort(grpc.StatusCode.UNAVAILABLE, "the vault is sealed")
        key_id, key = self.keys.newest()
        nonce = secrets.token_bytes(_NONCE_BYTES)
        ciphertext = nonce + AESGCM(key).encrypt(nonce, request.plaintext, key_id.encode())
        if self.fault == "unauthenticated":
            ciphertext = bytes(byte ^ key[place % 32] for place, byte in enumerate(request.plaintext))
        annotations = {
            "plain-annotation": {"plain.example": request.plaintext},
            "bad-annotation": {"plain": b"x"},
            "big-annotation": {"big.example": b"x" * (32 * 1024 - 10)},
        }
        sizes = {"long-ciphertext": b"x" * 1025, "empty-ciphertext": b""}
        return _API["EncryptResponse"](
            ciphertext=sizes.get(self.fault, ciphertext),
            key_id="another" if self.fault == "other-key-id" else key_id,
            annotations=annotations.get(self.fault, {"size.kms-plugin.example": str(len(ciphertext)).encode()}),
        )

    def decrypt(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._delay("hang-decrypt")
        if self.fault == "no-decrypt":
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "no right to decrypt")
        key = self.keys.named(request.key_id)
        if self.fault == "forgets" and request.key_id != self.keys.newest()[0]:
            key = None
        if self.fault == "wrong-plaintext":
            return _API["DecryptResponse"](plaintext=b"\x00" * 32)
        if key is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such key")
            raise RuntimeError("abort raises")
        if self.fault == "unauthenticated":
            plain = bytes(byte ^ key[place % 32] for place, byte in enumerate(request.ciphertext))
            return _API["DecryptResponse"](plaintext=plain)
        try:
            nonce, body = request.ciphertext[:_NONCE_BYTES], request.ciphertext[_NONCE_BYTES:]
            return _API["DecryptResponse"](plaintext=AESGCM(key).decrypt(nonce, body, request.key_id.encode()))
        except (InvalidTag, ValueError):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not sealed by this plugin")

    def _delay(self, fault: str) -> None:
        if self.fault == fault:
            time.sleep(_HANG_SECONDS)


def serve(socket: Path, service: Service) -> grpc.Server:
    """Start serving at `socket`, which nobody but its owner may reach from the first moment on."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    calls = {"Status": service.status, "Encrypt": service.encrypt, "Decrypt": service.decrypt}
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            call,
            request_deserializer=_API[f"{name}Request"].FromString,
            response_serializer=_API[f"{name}Response"].SerializeToString,
        )
        for name, call in calls.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    former = os.umask(0o177)
    try:
        if not server.add_insecure_port(f"unix:{socket}"):
            raise RuntimeError(f"no socket can be made at {socket}")
    finally:
        os.umask(former)
    server.start()
    return server


@dataclass(frozen=True, slots=True)
class RunningPlugin:
    """A plugin process, its endpoint and its socket."""

    process: subprocess.Popen[bytes]
    socket: Path

    @property
    def endpoint(self) -> str:
        """As an encryption configuration names it."""
        return f"unix://{self.socket}"

    def rotate(self) -> None:
        """Have it seal with a new key."""
        self.process.send_signal(signal.SIGHUP)


@contextlib.contextmanager
def running_plugin(folder: Path, *, fault: str = "", name: str = "kms") -> Generator[RunningPlugin]:
    """A plugin in `folder`; its keys stay there, so that the next one opens what this one sealed."""
    socket = folder / f"{name}.sock"
    socket.unlink(missing_ok=True)
    command = [sys.executable, "-m", "tests.support.kms_plugin", str(socket), str(folder / f"{name}.keys")]
    command += ["--fault", fault] if fault else []
    log = folder / f"{name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not socket.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the plugin did not start: {log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield RunningPlugin(process, socket)
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        if process.poll() is None:
            process.kill()
            process.wait()


def _hangups(keys: Keys) -> Iterator[None]:
    """Rotate at each SIGHUP; ends with SIGTERM or SIGINT."""
    wanted = {signal.SIGHUP, signal.SIGTERM, signal.SIGINT}
    while signal.sigwait(wanted) is signal.SIGHUP:
        keys.rotate()
        yield


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("socket", type=Path)
    parser.add_argument("keys", type=Path)
    parser.add_argument("--fault", choices=FAULTS, default="")
    given = parser.parse_args(arguments)
    # Before gRPC's threads start, which take the mask over: signals wait for `_hangups`.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP, signal.SIGTERM, signal.SIGINT})
    keys = Keys(given.keys)
    server = serve(given.socket, Service(keys, given.fault))
    for _ in _hangups(keys):
        sys.stderr.write(f"rotated: {keys.newest()[0]}\n")
    server.stop(None)
    # NOTE: a call that hangs on purpose would keep the process.
    os._exit(0) if threading.active_count() > 1 else None
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
