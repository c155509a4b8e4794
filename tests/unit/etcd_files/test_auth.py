"""What etcd's file says of etcd itself, out of small files made by hand."""

from __future__ import annotations

import json
import struct

import pytest

from keyctl.errors import UnusableInputError
from keyctl.etcd_files.auth import ClusterFacts, FileAlarm, FileMember, User, read_facts
from keyctl.etcd_files.bbolt import BoltFile
from keyctl.stored.rights import Permission, Role
from tests.support.bolt_writer import BoltBuilder, inline_bucket, revision, varint

HASH = b"$2a$10$abcdefghijklmnopqrstuv"
INFRA = {"id": 1, "peerURLs": ["https://10.0.0.1:2380"], "name": "infra0", "clientURLs": ["https://10.0.0.1:2379"]}

Buckets = dict[bytes, list[tuple[bytes, bytes]]]


def text(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def facts(buckets: Buckets) -> ClusterFacts:
    whole: Buckets = {b"key": [], b"meta": [], **buckets}
    inline = {name: inline_bucket([(0, key, value) for key, value in items]) for name, items in whole.items()}
    data = BoltBuilder().root(inline).data()
    return read_facts(BoltFile(data, len(data), "s.db"), "s.db")


def test_a_file_that_says_nothing_of_its_cluster_is_read() -> None:
    found = facts({})
    assert (found.auth_enabled, found.users, found.members, found.alarms, found.leases) == (None, (), (), (), 0)
    assert (found.cluster_version, found.standing.compacted) == ("", 0)


def test_users_are_told_with_their_roles_and_never_with_the_hash_of_their_password() -> None:
    user = text(1, b"ann") + text(2, HASH) + text(3, b"reader") + text(3, b"writer")
    found = facts({b"auth": [(b"authEnabled", b"\x01")], b"authUsers": [(b"ann", user), (b"bob", text(1, b"bob"))]})
    assert found.auth_enabled is True
    assert found.users == (User("ann", ("reader", "writer"), password=True), User("bob", (), password=False))
    assert HASH.decode() not in repr(found)


def test_roles_are_told_with_what_they_may() -> None:
    read = text(2, b"/registry/") + text(3, b"/registry0")
    write = number(1, 2) + text(2, b"/one")
    found = facts(
        {b"auth": [(b"authEnabled", b"\x00")], b"authRoles": [(b"r", text(1, b"r") + text(2, read) + text(2, write))]}
    )
    assert found.auth_enabled is False
    assert found.roles == (
        Role("r", (Permission("read", b"/registry/", b"/registry0"), Permission("readwrite", b"/one", b""))),
    )


def test_members_alarms_and_versions_are_told() -> None:
    alarm = number(1, 0xABC) + number(2, 1)
    found = facts(
        {
            b"members": [(b"8e9e05c52164694d", json.dumps(INFRA | {"isLearner": True}).encode())],
            b"members_removed": [(b"deadbeef", b"removed")],
            b"alarm": [(alarm, b"")],
            b"cluster": [(b"clusterVersion", b"3.7.0")],
            b"meta": [(b"finishedCompactRev", revision(40)), (b"scheduledCompactRev", revision(50))],
            b"lease": [(struct.pack(">Q", 1), b""), (struct.pack(">Q", 2), b"")],
        }
    )
    member = FileMember("8e9e05c52164694d", "infra0", ("https://10.0.0.1:2380",), ("https://10.0.0.1:2379",), True)
    assert found.members == (member,)
    assert found.removed_members == ("deadbeef",)
    assert found.alarms == (FileAlarm("abc", "NOSPACE"),)
    assert (found.cluster_version, found.leases) == ("3.7.0", 2)
    assert (found.standing.compacted, found.standing.compacting) == (40, 50)


@pytest.mark.parametrize(
    ("buckets", "cause"),
    [
        pytest.param({b"authUsers": [(b"ann", b"\x0a\xff")]}, "no message of etcd's", id="a cut user"),
        pytest.param({b"authRoles": [(b"r", text(2, b"\x12\x7f"))]}, "no message of etcd's", id="a cut permission"),
        pytest.param({b"alarm": [(b"\x07", b"")]}, "no message of etcd's", id="a wrong alarm"),
        pytest.param({b"members": [(b"1", b"[" * 2000)]}, "not told in JSON", id="a member of brackets"),
        pytest.param({b"members": [(b"1", b"[]")]}, "not told in JSON", id="a member that is a list"),
    ],
)
def test_damage_is_told_with_page_and_offset(buckets: Buckets, cause: str) -> None:
    with pytest.raises(UnusableInputError, match=r"page \d+ \(offset \d+\)") as caught:
        facts(buckets)
    assert cause in (caught.value.cause or "")


def test_an_entry_as_large_as_no_user_is_is_not_read() -> None:
    items = [(0, b"ann", bytes(2 << 20))]
    builder = BoltBuilder().bucket_leaf(items, name=b"authUsers")
    builder.root({b"authUsers": struct.pack("<QQ", 3, 0), b"key": inline_bucket([]), b"meta": inline_bucket([])})
    data = builder.data()
    with pytest.raises(UnusableInputError) as caught:
        read_facts(BoltFile(data, len(data), "s.db"), "s.db")
    assert "bytes in bucket authUsers" in (caught.value.cause or "")
