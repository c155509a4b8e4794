"""`keyctl audit --backups` of encrypted snapshots: judged by their manifests, and with an identity like any others."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keyctl.audit.facts import About
from keyctl.backup import manifest as manifests
from keyctl.backup.sealing import seal_file
from keyctl.cli import auditing, main
from keyctl.errors import ExitCode
from keyctl.findings import Evidence
from tests.support import seal
from tests.support.hints import wrong_hints
from tests.unit.backup.databases import Written, snapshot
from tests.unit.backup.real_snapshots import Person

NOW = datetime.now(UTC)
KEY = seal.key("key1")
AT = b"/registry/secrets/default/a"
SEALED: list[Written] = [(AT, seal.seal(KEY, AT, seal.secret("a")), 2)]
OWNER, STRANGER = Person(), Person()
FILE = Path("backups/a.db.age")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(auditing, "_COLLECTORS", [one for one in auditing._COLLECTORS if About.KEY in one.about])
    (tmp_path / "backups").mkdir()
    OWNER.file(tmp_path / "owner")
    STRANGER.file(tmp_path / "stranger")


def saved(written: list[Written] | None = None, *, hours: float = 1) -> None:
    """An encrypted snapshot with its manifest, saved so many `hours` ago."""
    plain = snapshot(Path("plain.db"), SEALED if written is None else written)
    sha256 = plain.read_bytes()[-32:].hex()
    made = seal_file(plain, FILE, [OWNER.recipient], sha256=sha256, progress=lambda *_: None)
    document = {
        "apiVersion": manifests.API_VERSION, "kind": manifests.KIND, "file": FILE.name, "size": plain.stat().st_size,
        "sha256": sha256, "at": (NOW - timedelta(hours=hours)).isoformat(), "etcd": {"revision": 2},
        "prefix": "/registry", "values": 1, "resources": [{"resource": "secrets", "values": 1, "plaintext": 0}],
        "encryption": {"size": made.size, "sha256": made.sha256, "recipients": [OWNER.recipient]},
    }  # fmt: skip
    manifests.beside(FILE).write_text(json.dumps(document))
    plain.unlink()


def audited(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, tuple[str, str]]:
    """Of each check of backups its status, and the words and the evidence of the first of its findings."""
    main.run(["audit", "--backups", "backups", "--profile", "host", *arguments, "-o", "json"])
    report = json.loads(capsys.readouterr().out)
    assert wrong_hints([json.dumps(report["findings"])]) == []
    return {
        one["id"][-3:]: (one["status"], one["message"]) for one in report["findings"] if one["id"].startswith("KC-BKP")
    } | {
        one["id"][-3:]: (one["status"], "")
        for one in report["checks"]
        if one["id"].startswith("KC-BKP") and one["status"] == "pass"
    }


def test_without_an_identity_age_and_bytes_are_judged_by_the_manifest_and_the_rest_is_unknown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    saved()
    found = audited(capsys)
    assert {key: found[key][0] for key in ("001", "002", "003", "005", "007")} == {
        "001": "pass", "002": "pass", "003": "unknown", "005": "unknown", "007": "pass",
    }  # fmt: skip
    assert "--identity" in found["003"][1]


def test_an_old_one_is_too_old_also_when_it_is_closed(capsys: pytest.CaptureFixture[str]) -> None:
    saved(hours=30)
    assert audited(capsys)["001"][0] == "fail"


@pytest.mark.parametrize("identity", [(), ("--identity", "owner")])
def test_a_changed_byte_is_damage_and_it_is_no_backup_any_more(
    identity: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    saved()
    content = bytearray(FILE.read_bytes())
    content[-1] ^= 1
    FILE.write_bytes(content)
    found = audited(capsys, *identity)
    assert (found["001"][0], found["002"][0]) == ("fail", "fail")


def test_with_an_identity_plaintext_in_it_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    saved([(AT, seal.secret("a"), 2)])
    assert audited(capsys)["003"][0] == "unknown"
    status, said = audited(capsys, "--identity", "owner")["003"]
    assert (status, "in plaintext, live" in said) == ("fail", True)


def test_with_the_identity_of_somebody_else_it_stays_closed(capsys: pytest.CaptureFixture[str]) -> None:
    saved()
    found = audited(capsys, "--identity", "stranger")
    assert (found["001"][0], found["002"][0], found["003"][0]) == ("pass", "pass", "unknown")


def test_what_its_manifest_says_is_no_proof_of_what_is_in_it() -> None:
    from keyctl.audit.live.backups import Snapshot
    from keyctl.cli.audited_backups import looked_into

    saved()

    def evidence(identities: bytes | None) -> list[Evidence]:
        facts = looked_into([Path("backups")], None, identities=identities, quiet=True)
        return [one.evidence for one in facts if isinstance(one, Snapshot)]

    assert evidence(None) == [Evidence.E1]
    assert evidence(OWNER.identity.encode()) == [Evidence.E3]


def test_an_encrypted_file_without_a_manifest_is_not_taken_for_a_snapshot(capsys: pytest.CaptureFixture[str]) -> None:
    saved()
    manifests.beside(FILE).unlink()
    assert audited(capsys)["002"][0] == "unknown"


def test_an_identity_without_backups_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["audit", "--identity", "owner"]) == ExitCode.USAGE
    assert "--backups" in capsys.readouterr().err


def test_one_that_has_no_room_to_be_decrypted_keeps_nobody_from_the_rest(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    saved()
    usage = shutil.disk_usage("backups")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10))
    found = audited(capsys, "--identity", "owner")
    assert found["002"][0] == "unknown"
    assert "has no room for the snapshot" in found["002"][1]
