"""A snapshot is whole and is the one that its manifest describes; every way not to be is told."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from keyctl.backup.check import Checked, ManifestState, check_snapshot, to_report
from keyctl.errors import ExitCode
from keyctl.etcd_files.source import SnapshotSource
from keyctl.findings import Status
from keyctl.stored.source import FileSource
from tests.support import seal
from tests.unit.backup.databases import Written, database, snapshot

AT = b"/registry/secrets/default/s"
KEY = seal.key("key1")
WRITTEN: list[Written] = [
    (AT, seal.secret("s"), 5),
    (b"/registry/configmaps/default/c", seal.config_map("c"), 6),
    (AT, seal.seal(KEY, AT, seal.secret("s")), 7),
    (b"/other", b"x", 8),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return snapshot(tmp_path / "s.db", WRITTEN)


def manifest(path: Path, **changes: object) -> Path:
    """A true manifest of `path`, but for `changes`."""
    content = path.read_bytes()
    document = {
        "apiVersion": "keyctl/v1",
        "kind": "SnapshotManifest",
        "size": len(content),
        "sha256": content[-32:].hex(),
        "etcd": {"revision": 8},
        "prefix": "/registry",
        "values": 2,
        "resources": [
            {"resource": "configmaps", "values": 1, "plaintext": 1},
            {"resource": "secrets", "values": 1, "plaintext": 0},
        ],
    }
    beside = path.with_name(path.name + ".keyctl.json")
    beside.write_text(json.dumps(document | changes))
    return beside


def check(path: Path) -> Checked:
    return check_snapshot(path, SnapshotSource)


def failed(checked: Checked) -> list[str]:
    return [finding.id for finding in checked.findings if finding.status is Status.FAIL]


def test_a_sound_snapshot_passes_with_what_it_counts(path: Path) -> None:
    checked = check(path)
    assert (checked.sound, checked.integrity, checked.manifest) == (True, "sha256-ok", ManifestState.ABSENT)
    assert checked.counts is not None
    assert (checked.counts.live, checked.counts.records, checked.counts.standing.current) == (3, 4, 8)
    assert checked.sha256 == path.read_bytes()[-32:].hex()
    assert to_report([checked]).exit_code is ExitCode.OK


def test_a_manifest_that_tells_the_truth_matches(path: Path) -> None:
    manifest(path)
    assert check(path).manifest is ManifestState.MATCHES


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"size": 4128}, "its manifest says size 4128"),
        ({"sha256": "00" * 32}, "its manifest says SHA-256 0000"),
        ({"etcd": {"revision": 9}}, "its manifest says revision 9, the file has 8"),
        ({"values": 3}, "its manifest says number of values 3, the file has 2"),
        (
            {"resources": [{"resource": "secrets", "values": 2}]},
            "its manifest says 2 values of secrets, the file has 1",
        ),
        ({"prefix": "/elsewhere"}, "number of values 2, the file has 0"),
    ],
)
def test_each_thing_that_a_manifest_says_is_compared(path: Path, change: dict[str, object], said: str) -> None:
    manifest(path, **change)
    checked = check(path)
    assert checked.manifest is ManifestState.DIFFERS
    assert set(failed(checked)) == {"KC-SNAP-002"}
    assert any(said in finding.message for finding in checked.findings)
    assert to_report([checked]).exit_code is ExitCode.UNUSABLE


@pytest.mark.parametrize("content", ["{", "[]", '{"kind": "Secret"}'])
def test_a_manifest_that_cannot_be_read_is_no_match(path: Path, content: str) -> None:
    manifest(path).write_text(content)
    checked = check(path)
    assert (checked.manifest, failed(checked)) == (ManifestState.UNUSABLE, ["KC-SNAP-003"])


def test_a_manifest_of_more_bytes_than_one_has_is_not_read(path: Path) -> None:
    with manifest(path).open("ab") as file:
        file.truncate(5 << 20)
    assert check(path).manifest is ManifestState.UNUSABLE


def test_a_pipe_in_the_place_of_a_manifest_is_not_waited_for(path: Path) -> None:
    os.mkfifo(path.with_name("s.db.keyctl.json"))
    assert check(path).manifest is ManifestState.UNUSABLE


def test_every_changed_byte_is_found_by_the_digest(path: Path) -> None:
    content = path.read_bytes()
    for place in range(0, len(content), 997):
        raw = bytearray(content)
        raw[place] ^= 0x10
        path.write_bytes(raw)
        checked = check(path)
        assert failed(checked) == ["KC-SNAP-001"], place
        assert checked.counts is None


def test_every_cut_is_found(path: Path) -> None:
    content = path.read_bytes()
    for length in (0, 1, 31, 32, 512, 4096, len(content) // 2, len(content) - 33, len(content) - 1):
        path.write_bytes(content[:length])
        assert failed(check(path)) == ["KC-SNAP-001"], length


def test_a_database_without_a_digest_is_sound_and_said_to_have_none(tmp_path: Path) -> None:
    path = tmp_path / "db"
    path.write_bytes(database(WRITTEN))
    checked = check(path)
    assert (checked.sound, checked.integrity, checked.sha256) == (True, "sha256-absent", "")
    assert [(finding.id, finding.status) for finding in checked.findings] == [("KC-SNAP-004", Status.UNKNOWN)]
    report = to_report([checked])
    assert report.exit_code is ExitCode.OK
    assert "without a SHA-256" in report.verdict


def test_a_damaged_record_is_found_where_no_digest_tells(tmp_path: Path) -> None:
    path = tmp_path / "db"
    data = database(WRITTEN)
    path.write_bytes(data.replace(b"\x18\x06\x20\x01", b"\x18\x05\x20\x01"))
    assert failed(check(path)) == ["KC-SNAP-001"]


def test_what_is_counted_is_labelled_for_a_manifest_counts_the_prefix_alone(path: Path, tmp_path: Path) -> None:
    report = to_report([check(path)])
    assert "LIVE KEYS" in report.tables[0].columns
    assert any("counts the whole file" in note for note in report.notes)
    assert to_report([check(tmp_path / "nowhere")]).notes == ()


def test_one_bad_file_does_not_hide_the_others(path: Path, tmp_path: Path) -> None:
    report = to_report([check(tmp_path / "nowhere"), check(path), check(tmp_path)])
    assert report.exit_code is ExitCode.UNUSABLE
    assert report.verdict.startswith("2 of 3 snapshots")
    shown = report.data["snapshots"]
    assert isinstance(shown, list)
    assert [one["sound"] for one in shown] == [False, True, False]


def test_a_file_that_changes_while_it_is_compared_is_a_finding(path: Path) -> None:
    manifest(path)

    def cut(path: Path) -> FileSource:
        path.write_bytes(path.read_bytes()[:-1])
        return SnapshotSource(path)

    assert failed(check_snapshot(path, cut)) == ["KC-SNAP-001"]
