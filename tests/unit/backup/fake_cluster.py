"""An etcd cluster of several members in memory, each with a file of its own, for tests of work on those files.

A member's file holds live values, overwritten ones that are not deleted yet, and free pages; defragmenting copies the
first two and drops the third, as etcd does.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from keyctl.errors import RefusedError, UnreachableError
from keyctl.etcd.interface import Alarm, EndpointStatus, Member, SavedSnapshot
from keyctl.stored.source import Area, Coverage, Fragment, Remark, SourceInfo, Value, ValueSource

Values = dict[bytes, bytes]


@dataclass
class FakeMember:
    """One member as it is: its file, and how it is doing."""

    name: str
    live: Values
    history: list[tuple[bytes, bytes]] = field(default_factory=list)
    free: list[bytes] = field(default_factory=list)
    down: bool = False
    stuck: bool = False
    learner: bool = False
    errors: tuple[str, ...] = ()
    leader: str = "m0"
    cluster: str = "c1"
    quota: int = 0
    closed: bool = False

    @property
    def url(self) -> str:
        return f"https://{self.name}:2379"


@dataclass
class FakeCluster:
    """The members by name, and what was done, in order. `before` runs before each act, and may raise."""

    members: dict[str, FakeMember]
    known: dict[str, FakeMember] = field(default_factory=dict)
    alarms: list[Alarm] = field(default_factory=list)
    revision: int = 50
    done: list[str] = field(default_factory=list)
    before: Callable[[str], None] = lambda _: None

    def __post_init__(self) -> None:
        self.known = self.known or dict(self.members)

    def lead(self, name: str) -> None:
        for member in self.members.values():
            member.leader = name

    def act(self, what: str) -> None:
        self.before(what)
        self.done.append(what)


class FakeEtcd:
    """A client of the members `names`; keeps the contract of `MaintainedEtcd`."""

    def __init__(self, cluster: FakeCluster, *names: str) -> None:
        self.cluster, self.names = cluster, list(names)

    def _any(self) -> FakeMember:
        for name in self.names:
            if not self.cluster.members[name].down:
                return self.cluster.members[name]
        raise UnreachableError(f"etcd at {', '.join(self.names)} does not answer", cause="TCP: connection refused")

    def _sole(self) -> FakeMember:
        if len(self.names) != 1:
            raise RuntimeError("needs a client of one endpoint")
        return self._any()

    def source(self, *, revision: int = 0) -> ValueSource:
        raise NotImplementedError

    def get(self, key: bytes) -> tuple[bytes, int] | None:
        if self._any().stuck:
            raise UnreachableError(f"etcd at {', '.join(self.names)} does not answer", cause="no answer within 10 s")
        return None

    def count(self, prefix: bytes) -> int:
        return sum(key.startswith(prefix) for key in self._any().live)

    def status(self) -> tuple[EndpointStatus, ...]:
        return tuple(self._status(self.cluster.members[name]) for name in self.names)

    def _status(self, member: FakeMember) -> EndpointStatus:
        if member.down:
            raise UnreachableError(f"etcd at {member.url} does not answer")
        in_use = 1000 * (len(member.live) + len(member.history))
        return EndpointStatus(
            endpoint=member.url,
            version="3.7.3",
            cluster_id=member.cluster,
            member_id=f"id-{member.name}",
            revision=self.cluster.revision,
            db_size=in_use + 1000 * len(member.free),
            quota=member.quota,
            in_use=in_use,
            leader=f"id-{member.leader}" if member.leader else "0",
            learner=member.learner,
            errors=(
                *member.errors,
                *(f"memberID:1{number}  alarm:{one.kind}" for number, one in enumerate(self.cluster.alarms)),
            ),
        )

    def save_snapshot(self, path: Path, *, progress: Callable[[int, int], None] | None = None) -> SavedSnapshot:
        member = self._any()
        self.cluster.act(f"snapshot {member.name}")
        if path.exists():
            raise RefusedError(f"{path} exists")
        pairs = [[_text(key), _text(value)] for key, value in member.live.items()]
        old = [[_text(key), _text(value)] for key, value in member.history]
        document = {
            "revision": self.cluster.revision,
            "live": pairs,
            "history": old,
            "free": list(map(_text, member.free)),
        }
        content = json.dumps(document).encode()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        if progress is not None:
            progress(len(content), len(content))
        status = path.stat()
        inode = status.st_dev, status.st_ino
        return SavedSnapshot(path, len(content), hashlib.sha256(content).hexdigest(), self._status(member), inode)

    def compact(self, revision: int) -> None:
        self._any()
        self.cluster.act(f"compact {revision}")

    def is_compacted(self, revision: int) -> bool:
        return f"compact {revision}" in self.cluster.done

    def members(self) -> tuple[Member, ...]:
        self._any()
        return tuple(
            Member(f"id-{name}", name, (member.url,), member.learner) for name, member in self.cluster.known.items()
        )

    def alarms(self) -> tuple[Alarm, ...]:
        self._any()
        return tuple(self.cluster.alarms)

    def disarm(self, alarm: Alarm) -> None:
        self._any()
        self.cluster.act(f"disarm {alarm.kind} {alarm.member_id}")
        self.cluster.alarms = [one for one in self.cluster.alarms if one != alarm]

    def can_write(self) -> bool:
        member = self._sole()
        self.cluster.act(f"write {member.name}")
        return not member.closed and not self.cluster.alarms

    def finish_compaction(self, revision: int, *, timeout: float) -> None:
        member = self._sole()
        self.cluster.act(f"delete {member.name}")
        member.free += [value for _, value in member.history]
        member.history.clear()

    def defragment(self, *, timeout: float) -> None:
        member = self._sole()
        self.cluster.act(f"defragment {member.name}")
        member.free.clear()

    def close(self) -> None:
        """Nothing is open."""


class FakeSnapshot:
    """A `FileSource` over what `FakeEtcd.save_snapshot` wrote."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._info: SourceInfo | None = None

    def batches(self, prefix: bytes) -> Iterator[list[Value]]:
        document = self._document()
        found = [(_raw(key), _raw(value), 7) for key, value in document["live"]]
        wanted = [one for one in found if one[0].startswith(prefix)]
        yield wanted
        self._info = SourceInfo("snapshot", str(self._path), document["revision"], "", len(wanted), "sha256-ok")

    def info(self) -> SourceInfo:
        assert self._info is not None
        return self._info

    def history(self, prefix: bytes) -> Iterator[list[Value]]:
        found = [(_raw(key), _raw(value), 3) for key, value in self._document()["history"]]
        yield [one for one in found if one[0].startswith(prefix)]

    def fragments(self) -> Iterator[list[Fragment]]:
        for number, value in enumerate(self._document()["free"]):
            yield [Fragment(Area.FREE_PAGES, f"page {number}", None, None, _raw(value), whole=False)]

    def coverage(self) -> Mapping[Area, Coverage]:
        there = {Area.LIVE, Area.HISTORY, Area.FREE_PAGES}
        return {area: Coverage.SCANNED if area in there else Coverage.ABSENT for area in Area}

    def remarks(self) -> Sequence[Remark]:
        return ()

    def _document(self) -> _Document:
        document: _Document = json.loads(self._path.read_text())
        return document


class _Document(TypedDict):
    revision: int
    live: list[list[str]]
    history: list[list[str]]
    free: list[str]


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _raw(text: str) -> bytes:
    return base64.b64decode(text)
