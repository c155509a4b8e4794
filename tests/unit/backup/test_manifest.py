"""A manifest is read as strictly as it must be to be compared, and nothing in it can crash the reader."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from keyctl.backup.manifest import beside, parse, plural
from keyctl.errors import UnusableInputError

WHOLE: dict[str, object] = {
    "apiVersion": "keyctl/v1",
    "kind": "SnapshotManifest",
    "size": 4128,
    "sha256": "ab" * 32,
    "etcd": {"revision": 7},
    "values": 3,
    "prefix": "/registry",
    "resources": [
        {"resource": "events", "values": 1, "plaintext": 1},
        {"resource": "events.events.k8s.io", "values": 2, "plaintext": 2},
    ],
    "added": "by a later version",
}


def test_what_can_be_compared_is_read_and_what_is_not_known_is_passed_over() -> None:
    claims = parse(json.dumps(WHOLE).encode(), name="m")
    assert (claims.size, claims.sha256, claims.revision, claims.values) == (4128, "ab" * 32, 7, 3)
    assert (claims.prefix, claims.resources, claims.at) == ("/registry", {"events": 3}, "")


def test_when_it_says_that_the_file_was_saved_is_taken_as_it_stands() -> None:
    at = "2026-11-22T04:00:00+00:00"
    assert parse(json.dumps(WHOLE | {"at": at}).encode(), name="m").at == at
    assert parse(json.dumps(WHOLE | {"at": None}).encode(), name="m").at == ""


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"kind": "VerifyReport"}, "no SnapshotManifest"),
        ({"apiVersion": "keyctl/v2"}, "no SnapshotManifest"),
        ({"size": "4128"}, "size is no number"),
        ({"size": True}, "size is no number"),
        ({"size": -1}, "size is no number"),
        ({"sha256": None}, "sha256 is no text"),
        ({"etcd": None}, "revision is no number"),
        ({"etcd": []}, "revision is no number"),
        ({"values": 1.5}, "values is no number"),
        ({"prefix": 1}, "prefix is no text"),
        ({"resources": {}}, "no list of objects"),
        ({"resources": [1]}, "no list of objects"),
        ({"resources": [{"resource": "secrets"}]}, "values is no number"),
    ],
)
def test_what_is_no_manifest_is_refused_with_the_field(change: dict[str, object], cause: str) -> None:
    with pytest.raises(UnusableInputError, match="m is no manifest of a snapshot") as caught:
        parse(json.dumps(WHOLE | change).encode(), name="m")
    assert cause in (caught.value.cause or "")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe"])
def test_what_is_no_json_is_refused(content: bytes) -> None:
    with pytest.raises(UnusableInputError, match="no manifest"):
        parse(content, name="m")


def test_a_manifest_lies_beside_its_snapshot() -> None:
    assert beside(Path("/backup/a.db")) == Path("/backup/a.db.keyctl.json")
    assert plural("leases.coordination.k8s.io") == plural("leases") == "leases"
