"""What etcd's file says of etcd itself: members, alarms, users, roles, compaction, versions. Never a password's hash.

Buckets and their fields are those of etcd's server/storage/schema. Every text comes from the file as it is, so who
shows it makes it fit for display.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from keyctl.errors import UnusableInputError
from keyctl.etcd_files.bbolt import BoltFile
from keyctl.etcd_files.database_file import opened
from keyctl.etcd_files.mvcc import Standing, read_standing
from keyctl.etcd_files.snapshot_file import extent
from keyctl.stored.protobuf import LENGTH_DELIMITED, DamagedError, fields, varint
from keyctl.stored.rights import Permission, Role

# What one entry of these buckets has at most: no user has thousands of roles.
_LARGEST = 1 << 20
_VARINT = 0
_ALARMS = {1: "NOSPACE", 2: "CORRUPT"}
_PERMISSIONS = {0: "read", 1: "write", 2: "readwrite"}


@dataclass(frozen=True, slots=True)
class User:
    """A user of etcd's own authentication. `password`: one is set; its hash is in the file and stays there."""

    name: str
    roles: tuple[str, ...]
    password: bool


@dataclass(frozen=True, slots=True)
class FileMember:
    """A member that the file knows."""

    id: str
    name: str
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    learner: bool


@dataclass(frozen=True, slots=True)
class FileAlarm:
    """An alarm that stood when the file was taken."""

    member_id: str
    kind: str


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """What one file says of its cluster.

    `auth_enabled` is None where authentication was never turned on or off. `standing` tells of revisions and versions.
    """

    auth_enabled: bool | None
    users: tuple[User, ...]
    roles: tuple[Role, ...]
    members: tuple[FileMember, ...]
    removed_members: tuple[str, ...]
    alarms: tuple[FileAlarm, ...]
    standing: Standing
    cluster_version: str
    leases: int


def cluster_facts(path: Path) -> ClusterFacts:
    """Read the facts of the database in the file `path`. Raises `UnusableInputError` with page and offset of damage."""
    with opened(path) as file:
        return read_facts(BoltFile(file, extent(file).length, str(path)), str(path))


def read_facts(bolt: BoltFile, name: str) -> ClusterFacts:
    """Read the facts of `bolt`; `name` is for messages.

    Raises `UnusableInputError` with page and offset of what is damaged.
    """
    buckets = _Buckets(bolt)
    enabled = buckets.small(b"auth").get(b"authEnabled")
    return ClusterFacts(
        auth_enabled=None if enabled is None else enabled == b"\x01",
        users=tuple(buckets.users()),
        roles=tuple(buckets.roles()),
        members=tuple(buckets.members()),
        removed_members=tuple(_text(key) for key in buckets.small(b"members_removed")),
        alarms=tuple(buckets.alarms()),
        standing=read_standing(bolt, name),
        cluster_version=_text(buckets.small(b"cluster").get(b"clusterVersion", b"")),
        leases=sum(1 for _ in bolt.entries(b"lease")),
    )


class _Buckets:
    """The buckets of a file that are small."""

    def __init__(self, bolt: BoltFile) -> None:
        self._bolt = bolt

    def small(self, bucket: bytes) -> dict[bytes, bytes]:
        """Every entry of a bucket."""
        return {key: value for key, value, _ in self._entries(bucket)}

    def users(self) -> Iterator[User]:
        for key, value, at in self._entries(b"authUsers"):
            found = self._fields(value, at)
            yield User(_text(key), tuple(_text(role) for role in found.texts(3)), bool(found.texts(2)))

    def roles(self) -> Iterator[Role]:
        for key, value, at in self._entries(b"authRoles"):
            permissions = []
            for raw in self._fields(value, at).texts(2):
                one = self._fields(raw, at)
                number = one.number(1)
                kind = _PERMISSIONS.get(number, str(number))
                permissions.append(Permission(kind, one.text(2), one.text(3)))
            yield Role(_text(key), tuple(permissions))

    def members(self) -> Iterator[FileMember]:
        for key, value, at in self._entries(b"members"):
            try:
                found = json.loads(value)
            except (ValueError, RecursionError):
                found = None
            if not isinstance(found, dict):
                raise self._damage(at, "a member is not told in JSON")
            name = found.get("name")
            yield FileMember(
                id=_text(key),
                name=name if isinstance(name, str) else "",
                peer_urls=_texts(found.get("peerURLs")),
                client_urls=_texts(found.get("clientURLs")),
                learner=found.get("isLearner") is True,
            )

    def alarms(self) -> Iterator[FileAlarm]:
        for key, _, at in self._entries(b"alarm"):
            found = self._fields(key, at)
            kind = found.number(2)
            yield FileAlarm(f"{found.number(1):x}", _ALARMS.get(kind, str(kind)))

    def _entries(self, bucket: bytes) -> Iterator[tuple[bytes, bytes, int]]:
        """(key, value, offset of the value in the file) of each entry."""
        for key, offset, size in self._bolt.entries(bucket):
            if size > _LARGEST:
                raise self._damage(offset, f"an entry of {size} bytes in bucket {bucket.decode()}")
            yield key, self._bolt.value(offset, size), offset

    def _fields(self, message: bytes, at: int) -> _Fields:
        try:
            return _Fields(message)
        except DamagedError:
            raise self._damage(at, "an entry is no message of etcd's") from None

    def _damage(self, offset: int, what: str) -> UnusableInputError:
        return self._bolt.damage(offset // self._bolt.page_size, offset, what)


class _Fields:
    """The fields of one protobuf message, read at once. Raises `DamagedError`."""

    def __init__(self, message: bytes) -> None:
        self._texts: dict[int, list[bytes]] = {}
        self._numbers: dict[int, int] = {}
        for number, kind, start, end in fields(message, 0, len(message)):
            if kind == LENGTH_DELIMITED:
                self._texts.setdefault(number, []).append(message[start:end])
            elif kind == _VARINT:
                self._numbers[number], _ = varint(message, start, end)

    def texts(self, number: int) -> list[bytes]:
        """Every value of a repeated field."""
        return self._texts.get(number, [])

    def text(self, number: int) -> bytes:
        """The last value of a field, empty when there is none."""
        return self.texts(number)[-1] if self.texts(number) else b""

    def number(self, number: int) -> int:
        """A number, 0 when there is none."""
        return self._numbers.get(number, 0)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _texts(found: object) -> tuple[str, ...]:
    return tuple(one for one in found if isinstance(one, str)) if isinstance(found, list) else ()
