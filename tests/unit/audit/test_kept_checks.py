"""What checks of backups and keys say beside right and wrong: how bad it is, how it is known, and of what."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from keyctl.findings import Evidence, Severity, Status
from keyctl.keys.backups import BackupKind
from keyctl.keys.key import KeyRef, Provider
from keyctl.keys.ledger import KeyState
from tests.unit.audit.given import verdicts
from tests.unit.audit.kept import (
    NOON,
    content,
    group,
    key_store,
    left,
    looked_through,
    need,
    raw_key,
    record,
    registered,
    restored,
    snapshot,
)

HOUR = timedelta(hours=1)
ESCROW = registered("keys.age", kind=BackupKind.ESCROW)
MOVED = registered(location="/elsewhere/a.db", days=366)


def said(id: str, *found: Any) -> str:
    (one,) = verdicts(id, *found)
    return one.message


@pytest.mark.parametrize(
    ("id", "found", "severity"),
    [
        ("KC-BKP-003", (snapshot(content=content(group(ref=None))),), None),
        ("KC-BKP-003", (snapshot(content=content(behind=(left(),))),), Severity.HIGH),
        ("KC-BKP-005", (snapshot(), key_store(record()), raw_key()), None),
        ("KC-BKP-005", (snapshot(), key_store(record(), register=(ESCROW,))), Severity.MEDIUM),
        ("KC-KEY-101", (key_store(record(days=366)),), Severity.LOW),
        ("KC-KEY-101", (key_store(record(days=731)),), None),
    ],
)  # fmt: skip
def test_how_bad_it_is_depends_on_what_it_is(id: str, found: tuple[Any, ...], severity: str | None) -> None:
    (one,) = verdicts(id, *found)
    assert (one.status, one.severity) == (Status.FAIL, severity)


def test_the_age_by_a_lease_is_proof_and_by_a_manifest_alone_a_file_that_says_so() -> None:
    for found, level, by in (
        (snapshot(), Evidence.E1, "its manifest"),
        (snapshot(renewed=NOON - 2 * HOUR), Evidence.E3, "its manifest"),
        (snapshot(hours=None, renewed=NOON - HOUR), Evidence.E3, "the newest Lease in it"),
    ):
        (one,) = verdicts("KC-BKP-001", looked_through(), found)
        assert (one.evidence, one.message.endswith(by)) == (level, True)


def test_a_clock_that_is_a_little_ahead_is_no_contradiction() -> None:
    near = snapshot(hours=1, renewed=NOON - 1.9 * HOUR)
    assert said("KC-BKP-001", looked_through(), near) == "the newest backup is 1 hour old, by its manifest"
    far = said("KC-BKP-001", looked_through(), snapshot(hours=1, renewed=NOON - 2.1 * HOUR))
    assert "its manifest says 2026-10-01 11:00, the newest Lease in it 2026-10-01 09:54" in far


def test_a_snapshot_that_the_register_knows_by_its_bytes_is_judged_once() -> None:
    (one,) = verdicts("KC-BKP-007", snapshot(), key_store(record(), register=(MOVED,)))
    assert (one.status, one.message) == (Status.FAIL, "it is 366 days old")
    nameless = replace(MOVED, sha256="", location="/backup/a.db")
    assert len(verdicts("KC-BKP-007", snapshot(), key_store(record(), register=(nameless,)))) == 1


def test_what_the_register_says_of_another_file_is_not_said_of_this_one() -> None:
    for other in (registered("b.db"), registered(sha256="")):
        text = said("KC-BKP-002", snapshot(), key_store(register=(other,)))
        assert text.endswith("; as its manifest has it")
    old = registered("b.db", days=300)
    for found in (snapshot(), snapshot(sha256="")):
        assert verdicts("KC-BKP-007", found, key_store(record(), register=(old,)))[0].message == "it is 2 hours old"
    both = said("KC-BKP-002", snapshot(), key_store(register=(registered(),)))
    assert both.endswith("; as its manifest and the register have it")


def test_the_newest_restore_test_is_named_with_its_snapshot() -> None:
    older, newer = registered(tested=restored(30)), registered("b.db", tested=restored(3))
    assert said("KC-BKP-006", key_store(register=(newer, older))) == "an API server served /backup/b.db 3 days ago"


def test_a_snapshot_under_a_retired_key_is_kept_and_says_so() -> None:
    text = said("KC-BKP-007", snapshot(), key_store(record(KeyState.ACTIVE, KeyState.DEACTIVATED)))
    assert text == "it is 2 hours old; it holds values under the retired aescbc/key1"


def test_each_key_that_a_backup_needs_is_judged_by_itself() -> None:
    other = KeyRef(Provider.AESCBC, "key2")
    needs = (need(), need(other, 0, None))
    (one,) = verdicts("KC-BKP-005", snapshot(content=content(needs=needs)), key_store(record()))
    assert one.status is Status.FAIL
    assert "aescbc/key2" in one.message
    assert "never there" in one.message
    gone = record(KeyState.ACTIVE, KeyState.DESTROYED, ref=other, fingerprint="2" * 32)
    assert "destroyed" in said("KC-BKP-005", snapshot(content=content(needs=needs)), key_store(record(), gone))


def test_what_lies_elsewhere_is_named_where_nothing_is_under_the_prefix() -> None:
    empty = content(group(values=0), others=(("/other", 7),))
    text = said("KC-BKP-003", snapshot(content=empty))
    assert text == "no value of secrets is under /registry; there are 7 keys below /other"
