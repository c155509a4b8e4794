"""`status`: what each server has loaded, which key holds how much, the rotation under way, when the next is due."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from keyctl.errors import ExitCode
from keyctl.findings import Report
from keyctl.keys.backups import Backup, BackupKind
from keyctl.keys.key import KeyRef
from keyctl.keys.ledger import KeyRecord, KeyState, Origin, StateChange
from keyctl.reports import json as json_report
from keyctl.reports import text
from keyctl.rotation import standing
from keyctl.rotation.diagnosis.diagnose import diagnose
from keyctl.rotation.diagnosis.facts import Facts, JournalSeen
from keyctl.rotation.standing import Standing, span
from tests.support import seal
from tests.support.accidents import facts, server
from tests.unit.rotation.test_diagnosis import journal

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
OLD, NEW = seal.key("old", fill=1), seal.key("new", fill=2)
LONG = seal.key("key-20261121t183536z-e2b6", fill=4)
BOTH, ADDED, FIRST = seal.config(NEW, OLD), seal.config(OLD, NEW), seal.config(OLD)


def record(name: str, days: int, *states: KeyState, origin: Origin = Origin.GENERATED) -> KeyRecord:
    at = (NOW - timedelta(days=days)).isoformat()
    key = next((known for known in (NEW, OLD, LONG) if known.name == name), seal.key(name))
    return KeyRecord(key.ref, key.fingerprint, origin, tuple(StateChange(state, at) for state in states))


def standing_of(
    seen: Facts,
    *,
    records: tuple[KeyRecord, ...] = (),
    backups: tuple[Backup, ...] = (),
    held: frozenset[KeyRef] = frozenset(),
    changed: Mapping[str, float] | None = None,
    key_max_age: timedelta | None = None,
    scanned: bool = True,
) -> Standing:
    found = diagnose(seen)
    return Standing(seen, found, NOW, records, backups, held, changed or {}, key_max_age, scanned=scanned)


def screen(report: Report, *, width: int | None = None, unicode: bool = True, wide: bool = False) -> str:
    return text.render(report, width=width, color=False, unicode=unicode, wide=wide)


def healthy() -> Facts:
    return facts([server("cp1", BOTH), server("cp2", BOTH)], [("secrets", NEW, 7), ("configmaps", None, 2)])


def test_servers_that_agree_are_exit_0_with_one_sentence() -> None:
    report = standing.report(standing_of(healthy()))
    assert report.exit_code is ExitCode.OK
    assert report.verdict == "all 2 servers agree; 9 values read, every one opens"
    assert report.next_steps == ()


def test_a_key_shows_its_age_its_values_its_backups_and_its_ledger() -> None:
    backup = Backup(BackupKind.SNAPSHOT, "/backup/1.db", NOW.isoformat(), 5, (OLD.ref,), "00")
    records = (
        record("new", 3, KeyState.PRE_ACTIVATION, KeyState.ACTIVE),
        record("old", 93, KeyState.ACTIVE, origin=Origin.IMPORTED),
        record("gone", 300, KeyState.ACTIVE, KeyState.DEACTIVATED),
    )
    report = standing.report(standing_of(healthy(), records=records, backups=(backup,), held=frozenset({OLD.ref})))
    rows = {row[0]: row for row in report.tables[1].rows}
    assert rows["aescbc/new"][1:7] == ("3 d", "7", "-", "0", "write", "active")
    # An imported key is older than the ledger knows.
    assert rows["aescbc/old"][1:7] == (">93 d", "0", "held", "1", "read", "active")
    assert rows["aescbc/gone"][5:7] == ("-", "deactivated")
    assert [row[0] for row in report.tables[1].rows] == ["aescbc/new", "aescbc/old", "aescbc/gone"]


def test_a_server_that_has_not_loaded_its_file_waits_and_says_since_when() -> None:
    seen = facts([server("cp1", BOTH), server("cp2", FIRST, BOTH)], [("secrets", OLD, 1)], copies=(FIRST,))
    changed = {"cp2": (NOW - timedelta(minutes=4)).timestamp()}
    report = standing.report(standing_of(seen, changed=changed))
    assert report.exit_code is ExitCode.FINDINGS
    row = report.tables[0].rows[1]
    assert (row[6], row[-1]) == ("4 min", "waiting")
    assert "SINCE" in screen(report)
    assert "SINCE" not in screen(standing.report(standing_of(healthy())))


def test_one_server_down_hides_no_other_and_is_exit_4() -> None:
    down = replace(
        server("cp2", BOTH), answers=False, ready=False, loaded_hash=None, loaded_by="", problem="tcp: refused"
    )
    report = standing.report(standing_of(facts([server("cp1", BOTH), down], [("secrets", NEW, 7)])))
    assert report.exit_code is ExitCode.UNREACHABLE
    assert [row[-1] for row in report.tables[0].rows] == ["ok", "down"]
    assert "tcp: refused" in screen(report)
    assert report.tables[0].rows[0][2:4] == ("new", report.tables[0].rows[0][1])


def test_without_a_scan_values_are_not_told_and_that_is_no_gap() -> None:
    seen = replace(healthy(), values=None, unread="not asked for")
    report = standing.report(standing_of(seen, scanned=False))
    assert report.exit_code is ExitCode.OK
    assert {row[2] for row in report.tables[1].rows} == {"-"}
    assert "--no-scan" in screen(report)
    unread = standing.report(standing_of(replace(seen, unread="etcd is down")))
    assert unread.exit_code is ExitCode.UNREACHABLE


def test_a_rotation_under_way_says_its_state_that_it_is_safe_and_both_ways() -> None:
    seen = facts([server("cp1", BOTH), server("cp2", ADDED)], [("secrets", OLD, 1)], journal=journal())
    report = standing.report(standing_of(seen))
    assert report.exit_code is ExitCode.OK
    (note,) = [note for note in report.notes if note.startswith("rotation")]
    assert "state promoting, safe to leave; on: keyctl rotate --resume; back: keyctl rotate --abort" in note
    assert report.next_steps == ("go on: keyctl rotate --resume; or go back: keyctl rotate --abort",)
    blind = replace(seen, servers=(seen.servers[0], server("cp2", seal.config(seal.key("other")))))
    (note,) = [note for note in standing.report(standing_of(blind)).notes if note.startswith("rotation")]
    assert "not safe to leave" in note
    unscanned = replace(seen, values=None)
    (note,) = [n for n in standing.report(standing_of(unscanned, scanned=False)).notes if n.startswith("rotation")]
    assert "was not looked at" in note


def test_a_journal_that_cannot_be_read_is_said() -> None:
    seen = replace(healthy(), journal=JournalSeen("/state/journal.jsonl", problem="torn"))
    report = standing.report(standing_of(seen))
    assert report.exit_code is ExitCode.UNREACHABLE
    assert "rotation: torn" in report.notes


def test_a_key_past_its_age_is_a_warning_and_one_before_it_a_date() -> None:
    records = (record("new", 100, KeyState.PRE_ACTIVATION, KeyState.ACTIVE),)
    late = standing.report(standing_of(healthy(), records=records, key_max_age=timedelta(days=90)))
    assert late.exit_code is ExitCode.OK
    assert [finding.id for finding in late.findings] == ["KC-ROT-017"]
    assert "100 d old, 10 d past policy.keyMaxAge" in screen(late)
    soon = standing.report(standing_of(healthy(), records=records, key_max_age=timedelta(days=120)))
    assert soon.findings == ()
    assert "100 d old, due in 20 d (2026-12-11)" in screen(soon)


def test_the_screen_fits_80_columns_and_needs_neither_colour_nor_unicode() -> None:
    config = seal.config(LONG, OLD)
    seen = facts([server(f"cp{n}", config) for n in (1, 2, 3)], [("secrets", LONG, 2911), ("secrets", OLD, 1)])
    records = (record(LONG.name, 3, KeyState.ACTIVE), record("old", 93, KeyState.ACTIVE, KeyState.DEACTIVATED))
    report = standing.report(standing_of(seen, records=records))
    tables = [line for line in screen(report).splitlines() if line.startswith(("SERVER", "cp", "KEY", "aescbc"))]
    assert len(tables) == 7
    assert max(map(len, tables)) <= 80
    assert LONG.name in "\n".join(tables)
    plain = screen(report, width=80, unicode=False)
    assert plain.isascii()
    assert "ok" in plain


def test_a_name_that_reads_like_a_key_is_masked() -> None:
    name = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ="
    config = seal.config(seal.key(name))
    report = standing.report(standing_of(facts([server("cp1", config)], [("secrets", seal.key(name), 1)])))
    assert name not in screen(report, wide=True)
    assert name not in json_report.render(report)


def test_the_data_has_the_contract_and_the_same_facts() -> None:
    document = json.loads(json_report.render(standing.report(standing_of(healthy()))))
    assert (document["apiVersion"], document["kind"], document["exitCode"]) == ("keyctl/v1", "ClusterStatus", 0)
    assert document["servers"][0]["loaded"]["by"] == "hash"
    assert document["servers"][0]["loaded"]["hash"] == document["servers"][0]["file"]["hash"]
    assert {key["name"]: key["values"] for key in document["keys"]} == {"new": 7, "old": 0}
    assert document["rotation"] is None


def test_spans_are_told_in_what_a_reader_acts_on() -> None:
    assert [span(timedelta(seconds=s)) for s in (-5, 59, 60, 7200, 200000)] == ["0 s", "59 s", "1 min", "2 h", "2 d"]
