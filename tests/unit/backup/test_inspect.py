"""What is shown of a snapshot: live and left behind, by resource and key, and what etcd says of itself."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from keyctl.backup.inspect import Inspection, inspect
from keyctl.backup.inspect_report import to_report
from keyctl.encryption_config.model import EncryptionConfig
from keyctl.errors import ExitCode, UnusableInputError
from keyctl.etcd_files.source import SnapshotSource
from keyctl.keys.key import Key
from keyctl.reports.text import render
from tests.support import seal
from tests.unit.backup.databases import Written, snapshot

OLD, NEW, GONE = seal.key("old", fill=1), seal.key("new", fill=2), seal.key("gone", fill=3)


def at(name: str) -> bytes:
    return f"/registry/secrets/default/{name}".encode()


def sealed(name: str, key: Key) -> bytes:
    return seal.seal(key, at(name), seal.secret(name))


WRITTEN: list[Written] = [
    (at("a"), seal.secret("a"), 5),
    (at("b"), sealed("b", GONE), 6),
    (at("a"), sealed("a", NEW), 7),
    (at("b"), sealed("b", OLD), 8),
    (b"/registry/configmaps/default/c", seal.config_map("c"), 9),
    (b"/bootstrap/x", b"x", 10),
]
BOTH = seal.config(NEW, OLD)


def look(path: Path, config: EncryptionConfig | None = BOTH, prefix: str = "/registry") -> Inspection:
    return inspect(path, prefix=prefix, config=config, open_snapshot=SnapshotSource)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return snapshot(tmp_path / "s.db", WRITTEN, free=[seal.secret("f", filler=b"left in a free page")])


def test_keys_are_told_with_what_they_open_and_what_only_leftovers_need(path: Path) -> None:
    found = look(path)
    assert [(need.ref.name, need.values, need.opened, need.left, need.fingerprint) for need in found.keys] == [
        ("gone", 0, 0, 1, None),
        ("new", 1, 1, 0, NEW.fingerprint),
        ("old", 1, 1, 0, OLD.fingerprint),
    ]


def test_leaks_are_findings_and_counted_by_where_they_are(path: Path) -> None:
    report = to_report(look(path))
    said = {(finding.id, finding.message) for finding in report.findings}
    assert said == {
        ("KC-DAT-010", "1 value of secrets in plaintext in history"),
        ("KC-DAT-010", "1 value of secrets in plaintext in freed pages"),
        ("KC-DAT-011", "1 value of secrets under aescbc/gone in history"),
    }
    assert "3 more left behind" in report.verdict
    assert report.exit_code is ExitCode.OK
    rows = report.tables[0].rows
    assert rows == (("configmaps", "1", "1", "0", "0", "0", "0"), ("secrets", "2", "0", "2", "1", "1", "1"))


def test_live_plaintext_of_what_must_be_encrypted_is_a_finding(tmp_path: Path) -> None:
    path = snapshot(tmp_path / "s.db", WRITTEN[:1])
    for config in (None, BOTH):
        report = to_report(look(path, config))
        assert [finding.id for finding in report.findings] == ["KC-DAT-001"]
        assert "1 live value in plaintext" in report.verdict
        assert report.exit_code is ExitCode.OK, "it was asked what is in it"
        shown = render(report, width=None, color=False, unicode=True, wide=False)
        assert ("✓" in shown, "! attention: 1 value" in shown) == (False, True)


def test_the_command_that_judges_it_is_one_that_a_shell_takes(tmp_path: Path) -> None:
    (tmp_path / "back up").mkdir()
    path = snapshot(tmp_path / "back up" / "s.db", WRITTEN[:1])
    step = to_report(look(path), ("--encryption-config", "my enc.yaml")).next_steps[0]
    words = shlex.split(step.partition("    ")[0])
    assert words == [
        *("keyctl", "verify-secrets", "--snapshot", str(path), "--residue"),
        *("--encryption-config", "my enc.yaml"),
    ]


def test_what_the_configuration_does_not_open_is_told(path: Path) -> None:
    report = to_report(look(path, seal.config(NEW)))
    assert "1 that the configuration does not open" in report.verdict
    assert report.data["unreadable"] == 1


def test_without_a_configuration_keys_have_no_fingerprint_and_secrets_no_excuse(path: Path) -> None:
    found = look(path, None)
    assert {need.fingerprint for need in found.keys} == {None}
    report = to_report(found)
    assert "no encryption configuration was given" in "\n".join(report.notes)
    assert report.data["unreadable"] is None
    assert {finding.id for finding in report.findings} == {"KC-DAT-010"}


def test_keys_outside_of_the_prefix_are_counted_and_a_wrong_prefix_is_not_clean(path: Path) -> None:
    assert to_report(look(path)).data["outsideOfPrefix"] == [{"prefix": "/bootstrap", "keys": 1}]
    report = to_report(look(path, prefix="/elsewhere"))
    assert report.exit_code is ExitCode.EMPTY
    assert "/registry (3)" in report.findings[0].message
    assert "no plaintext" not in report.verdict


def test_compaction_is_told(path: Path, tmp_path: Path) -> None:
    assert "never compacted" in "\n".join(to_report(look(path)).notes)
    compacted = to_report(look(snapshot(tmp_path / "c.db", WRITTEN[2:], compacted=8)))
    assert "compacted to revision 8" in "\n".join(compacted.notes)
    assert compacted.data["compactRevision"] == 8


def test_a_damaged_file_is_refused(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UnusableInputError):
        look(path)


def test_every_part_is_told_before_it_is_read_and_counted_after_each_batch(tmp_path: Path) -> None:
    path = snapshot(tmp_path / "s.db", WRITTEN, free=[seal.secret("gone")])
    told: list[str] = []
    inspect(path, prefix="/registry", config=BOTH, open_snapshot=SnapshotSource, progress=told.append)
    assert told[:4] == ["members and users", "live values", "live values: 4", "history"]
    assert next(line for line in told if line.startswith("freed pages")) == "freed pages, found"
    assert told[-1] == "freed pages, found: 1"
