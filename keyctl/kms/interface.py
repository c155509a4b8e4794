"""What is asked of a KMS v2 plugin, and how it answers. Values only; `client` and `socket_file` are what looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Status:
    """What a plugin says of itself: `healthz` is "ok" or what is wrong, `key_id` the key that it seals with."""

    version: str
    healthz: str
    key_id: str


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a plugin made of a plaintext. kube-apiserver stores all three beside each value, in the clear."""

    ciphertext: bytes
    key_id: str
    annotations: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Timed(Generic[T]):
    """An answer, and how many seconds it took. The answer of Decrypt never shows in a repr."""

    value: T = field(repr=False)
    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """No answer: gRPC's name of the status, what was said about it, and after how many seconds."""

    code: str
    detail: str
    seconds: float

    @property
    def timed_out(self) -> bool:
        """Whether nothing had come when the time was up."""
        return self.code == "DEADLINE_EXCEEDED"

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}" if self.detail else self.code


@dataclass(frozen=True, slots=True)
class SocketFile:
    """A socket: its mode and owner, and what users other than its owner and group may do.

    `connectable`: they may connect. `replaceable` is the directory in which they may put another socket in its place.
    """

    mode: int
    uid: int
    gid: int
    connectable: bool
    replaceable: str | None


class Plugin(Protocol):
    """A KMS v2 plugin. Every call ends within the time limit of the connection, and none raises."""

    def status(self) -> Timed[Status] | Failed:
        """Ask the plugin about itself."""
        ...

    def encrypt(self, plaintext: bytes, uid: str) -> Timed[Sealed] | Failed:
        """Have `plaintext` sealed. `uid` names the request in the plugin's log."""
        ...

    def decrypt(self, sealed: Sealed, uid: str) -> Timed[bytes] | Failed:
        """Have `sealed` opened."""
        ...
