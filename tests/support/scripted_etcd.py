"""A scripted `keyctl.etcd.rpc.Session`, for what a real etcd cannot be made to do."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme

from keyctl.etcd.connections import Connections
from keyctl.etcd.rpc import CallError, RangeAnswer, SnapshotChunk, StatusAnswer
from keyctl.etcd.tls import MutualTls
from tests.support.etcd_process import write_client


@dataclass
class Header:
    cluster_id: int = 0xABC
    member_id: int = 0xDEF
    revision: int = 100


@dataclass
class Pair:
    key: bytes
    value: bytes
    mod_revision: int = 1


@dataclass
class Answer:
    """A RangeResponse, or a chunk; without `header` unless it is given."""

    kvs: list[Pair] = field(default_factory=list)
    more: bool = False
    count: int = 0
    header: Header = field(default_factory=Header)
    with_header: bool = True

    def HasField(self, field_name: str) -> bool:  # noqa: N802 — protobuf's name
        return field_name == "header" and self.with_header


@dataclass
class Status:
    header: Header = field(default_factory=Header)
    version: str = "3.7.3"
    leader: int = 0xDEF
    dbSize: int = 4096  # noqa: N815 — etcd's name
    dbSizeInUse: int = 4096  # noqa: N815 — etcd's name
    dbSizeQuota: int = 0  # noqa: N815 — etcd's name
    isLearner: bool = False  # noqa: N815 — etcd's name
    errors: list[str] = field(default_factory=list)


@dataclass
class Chunk:
    remaining_bytes: int
    blob: bytes


Step = Answer | Status | Chunk | BaseException


def played(steps: Iterable[Step]) -> Generator[Step]:
    for step in steps:
        if isinstance(step, BaseException):
            raise step
        yield step


@dataclass
class ScriptedSession:
    """Answers from its script: `unary` one by one, `stream` and `blobs` as a whole. Keeps what it was asked."""

    unary: list[Step] = field(default_factory=list)
    stream: list[Step] = field(default_factory=lambda: [CallError("UNIMPLEMENTED", "unknown method RangeStream")])
    blobs: list[Step] = field(default_factory=list)
    asked: list[dict[str, object]] = field(default_factory=list)
    closed: bool = False

    def range(self, key: bytes, range_end: bytes = b"", **options: object) -> RangeAnswer:
        self.asked.append({"key": key, "range_end": range_end, **options})
        answer = next(played([self.unary.pop(0)]))
        assert isinstance(answer, Answer)
        return answer

    def range_stream(self, key: bytes, range_end: bytes, *, revision: int) -> Generator[RangeAnswer]:
        self.asked.append({"key": key, "range_end": range_end, "revision": revision})
        for answer in played(self.stream):
            assert isinstance(answer, Answer)
            yield answer

    def compact(self, revision: int, *, physical: bool = False, timeout: float | None = None) -> None:
        self.asked.append({"compact": revision} | ({"physical": True, "timeout": timeout} if physical else {}))
        next(played([self.unary.pop(0)]))

    def defragment(self, *, timeout: float) -> None:
        self.asked.append({"defragment": timeout})
        next(played([self.unary.pop(0)]))

    def disarm(self, member: int, alarm: int) -> None:
        self.asked.append({"disarm": (member, alarm)})
        next(played([self.unary.pop(0)]))

    def grant_lease(self, seconds: int) -> int:
        self.asked.append({"grant": seconds})
        next(played([self.unary.pop(0)]))
        return 77

    def revoke_lease(self, lease: int) -> None:
        self.asked.append({"revoke": lease})
        next(played([self.unary.pop(0)]))

    def status(self) -> StatusAnswer:
        self.asked.append({})
        answer = next(played([self.unary.pop(0)]))
        assert isinstance(answer, Status)
        return answer

    def snapshot(self) -> Generator[SnapshotChunk]:
        for chunk in played(self.blobs):
            assert isinstance(chunk, Chunk)
            yield chunk

    def close(self) -> None:
        self.closed = True


@dataclass
class ScriptedEtcd:
    """Connections whose sessions are scripted: each one opened takes the next of `sessions`."""

    tls: MutualTls
    sessions: list[ScriptedSession] = field(default_factory=list)
    opened: list[dict[str, object]] = field(default_factory=list)

    def open(self, host: str, port: int, tls: MutualTls, **options: object) -> ScriptedSession:
        self.opened.append({"host": host, "port": port, **options})
        return self.sessions.pop(0)

    def connect(self, *sessions: ScriptedSession, user: str | None = None, endpoints: int | None = None) -> Connections:
        """Connections to one endpoint a session: etcd1, etcd2, …; or to `endpoints`; with `user`, to one for all."""
        self.sessions.extend(sessions)
        count = endpoints or (1 if user else len(sessions))
        urls = tuple(f"https://etcd{number}:2379" for number in range(1, count + 1))
        return Connections(urls, self.tls, timeout=1.0, user=user, password="p" if user else None)


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> ScriptedEtcd:
    """Put scripted sessions in the place of gRPC's; usable TLS files are written to `folder`."""
    authority = trustme.CA()
    etcd = ScriptedEtcd(write_client(folder, authority, authority))
    monkeypatch.setattr("keyctl.etcd.connections.Session", etcd.open)
    return etcd
