"""Snapshots: how old, how sound, what they hold, which keys they need; and what the register says of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from keyctl.audit.facts import About, Unread
from keyctl.audit.live.backups import Need, Snapshot
from keyctl.findings import Location, Status
from keyctl.keys.backups import BackupKind, Proof
from keyctl.keys.key import KeyRef, Provider
from keyctl.keys.ledger import KeyState
from keyctl.stored.groups import Group
from keyctl.stored.source import Area, Coverage
from tests.unit.audit.cases import Case
from tests.unit.audit.given import GOOD_CONFIG, RANDOM_KEY, config
from tests.unit.audit.kept import (
    NOON,
    SEEN,
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

P, F, U, N = Status.PASS, Status.FAIL, Status.UNKNOWN, Status.NOT_APPLICABLE
HOUR = timedelta(hours=1)
OTHER = KeyRef(Provider.AESCBC, "key2")
PLUGIN = KeyRef(Provider.KMS, "vault")
STRANGE = replace(group(ref=None), provider=None, encoding=None)
MAPS = GOOD_CONFIG.replace("[secrets]", "[secrets, configmaps]")
EVERYTHING = GOOD_CONFIG.replace("[secrets]", "['*.*']")
TEMPLATE = GOOD_CONFIG.replace(RANDOM_KEY, '"{{ later }}"')
PACKED = Unread("it is compressed", frozenset({About.BACKUP}), Location("/backup/x.db.gz"))
PLAIN_MAPS = group("configmaps", ref=None)
HALF_READ = replace(content().left, coverage=SEEN | {Area.FREE_PAGES: Coverage.NOT_SCANNED})
ESCROW = registered("keys.age", kind=BackupKind.ESCROW)
ELSEWHERE = replace(ESCROW, location="/backups/keys.age")
OPENS_NOTHING = need(opened=0, fingerprint=None)
DAMAGED = snapshot(wrong=("the SHA-256 at its end is not that of the data",), content=None)
LEASED = snapshot(hours=None, renewed=NOON - HOUR)


def holding(*groups: Group, **more: Any) -> Snapshot:
    return snapshot(content=content(*groups, **more))


def needing(*needs: Need, **more: Any) -> Snapshot:
    return snapshot(content=content(needs=needs, **more))


CASES: list[Case] = [
    ("KC-BKP-001", P, (looked_through(), snapshot())),
    ("KC-BKP-001", P, (looked_through(), snapshot(hours=24))),
    ("KC-BKP-001", F, (looked_through(), snapshot(hours=24.1))),
    ("KC-BKP-001", P, (looked_through(), LEASED)),
    ("KC-BKP-001", F, (looked_through(), snapshot(hours=None, renewed=NOON - 30 * HOUR, file_hours=30))),
    ("KC-BKP-001", P, (looked_through(2), snapshot(hours=100), snapshot("b.db", hours=1))),
    ("KC-BKP-001", F, (looked_through(0),)),
    ("KC-BKP-001", F, (looked_through(), DAMAGED)),
    ("KC-BKP-001", F, (looked_through(2), DAMAGED, snapshot("b.db", hours=100))),
    ("KC-BKP-001", U, (looked_through(), snapshot(hours=None))),
    ("KC-BKP-001", U, (looked_through(), snapshot(hours=None, file_hours=900))),
    ("KC-BKP-001", U, (looked_through(2), snapshot(hours=None), snapshot("b.db", hours=100))),
    ("KC-BKP-001", F, (looked_through(2), snapshot(hours=None, file_hours=900), snapshot("b.db", hours=100))),
    # What it says of itself does not fit together.
    ("KC-BKP-001", U, (looked_through(), snapshot(renewed=NOON - 900 * HOUR))),
    ("KC-BKP-001", U, (looked_through(), snapshot(hours=-2))),
    ("KC-BKP-001", U, (looked_through(0), PACKED)),
    # An empty directory beside a full one.
    ("KC-BKP-001", F, (looked_through(), snapshot(), replace(looked_through(0), location=Location("/other")))),
    ("KC-BKP-001", F, (looked_through(0), replace(PACKED, location=Location("/backups/x.db.gz")))),
    ("KC-BKP-001", U, (key_store(register=(registered(),)),)),
    ("KC-BKP-002", P, (snapshot(),)),
    ("KC-BKP-002", P, (snapshot(), key_store(register=(registered(),)))),
    ("KC-BKP-002", F, (DAMAGED,)),
    ("KC-BKP-002", F, (snapshot(wrong=("its manifest says size 1, the file has 2",)),)),
    ("KC-BKP-002", F, (snapshot(), key_store(register=(registered(sha256="another"),)))),
    ("KC-BKP-002", U, (snapshot(sha256=""),)),
    ("KC-BKP-003", P, (snapshot(),)),
    ("KC-BKP-003", P, (holding(group(), PLAIN_MAPS),)),
    ("KC-BKP-003", F, (holding(group(), group(ref=None)),)),
    ("KC-BKP-003", F, (holding(group(), PLAIN_MAPS), config(MAPS))),
    ("KC-BKP-003", F, (holding(group(), PLAIN_MAPS), config(EVERYTHING))),
    # Some of them are encrypted in the file itself.
    ("KC-BKP-003", F, (holding(group(), PLAIN_MAPS, group("configmaps")),)),
    ("KC-BKP-003", F, (holding(behind=(left(),)),)),
    ("KC-BKP-003", F, (holding(behind=(left(area=Area.FREE_PAGES),)),)),
    ("KC-BKP-003", F, (holding(behind=(left(""),)),)),
    ("KC-BKP-003", P, (holding(behind=(left("configmaps"),)),)),
    ("KC-BKP-003", F, (holding(behind=(left("configmaps"),)), config(MAPS))),
    ("KC-BKP-003", F, (holding(behind=(left("configmaps"),)), config(EVERYTHING))),
    ("KC-BKP-003", U, (DAMAGED,)),
    ("KC-BKP-003", U, (holding(PLAIN_MAPS),)),
    ("KC-BKP-003", U, (snapshot(content=content(group(values=0), others=(("/other", 7),))),)),
    ("KC-BKP-003", U, (holding(group(), STRANGE),)),
    ("KC-BKP-003", U, (snapshot(content=content(left=HALF_READ)),)),
    ("KC-BKP-003", U, (snapshot(), config(TEMPLATE))),
    ("KC-BKP-005", P, (snapshot(), key_store(record()))),
    ("KC-BKP-005", P, (snapshot(), key_store(record(ref=OTHER)))),
    ("KC-BKP-005", U, (snapshot(),)),
    ("KC-BKP-005", U, (snapshot(), key_store())),
    ("KC-BKP-005", U, (DAMAGED, key_store(record()))),
    ("KC-BKP-005", N, (snapshot(content=content(group(ref=None), needs=())), key_store(record()))),
    ("KC-BKP-005", U, (snapshot(content=content(group(values=0), needs=())), key_store(record()))),
    ("KC-BKP-005", F, (snapshot(), key_store(record(KeyState.ACTIVE, KeyState.DESTROYED)))),
    ("KC-BKP-005", F, (snapshot(), key_store(record(fingerprint="2" * 32)))),
    ("KC-BKP-005", F, (needing(OPENS_NOTHING), key_store(record(ref=OTHER)))),
    ("KC-BKP-005", F, (needing(OPENS_NOTHING), key_store(record()))),
    ("KC-BKP-005", U, (needing(OPENS_NOTHING, tried=frozenset()), key_store(record()))),
    ("KC-BKP-005", U, (needing(OPENS_NOTHING), key_store(record(ref=OTHER), register=(ELSEWHERE,)))),
    ("KC-BKP-005", F, (needing(need(opened=2)), key_store(record()))),
    ("KC-BKP-005", U, (needing(need(fingerprint=None)), key_store(record()))),
    ("KC-BKP-005", U, (needing(need(PLUGIN, 0, None, key_id="1")), key_store(record()))),
    ("KC-BKP-005", F, (snapshot(), key_store(record()), raw_key())),
    ("KC-BKP-005", P, (snapshot(), key_store(record()), raw_key("2" * 32))),
    ("KC-BKP-005", P, (snapshot(), key_store(record()), raw_key(directory="/elsewhere"))),
    ("KC-BKP-005", F, (snapshot(), key_store(record(), register=(ESCROW,)))),
    ("KC-BKP-005", P, (snapshot(), key_store(record(), register=(ELSEWHERE,)))),
    ("KC-BKP-006", P, (key_store(register=(registered(tested=restored()),)),)),
    ("KC-BKP-006", P, (key_store(register=(registered(tested=restored(90)),)),)),
    ("KC-BKP-006", F, (key_store(register=(registered(tested=restored(91)),)),)),
    ("KC-BKP-006", F, (key_store(register=(registered(),)),)),
    ("KC-BKP-006", F, (key_store(register=(registered(tested=restored(proof=Proof.OPENED)),)),)),
    ("KC-BKP-006", F, (key_store(register=(registered(tested=restored(proof=Proof.FAILED)),)),)),
    # The newest test counts, not the best.
    (
        "KC-BKP-006",
        F,
        (key_store(register=(registered(tested=restored()), registered("b.db", tested=restored(1, Proof.FAILED)))),),
    ),
    ("KC-BKP-006", U, (key_store(register=(registered(tested=restored(-1)),)),)),
    ("KC-BKP-006", U, (key_store(),)),
    ("KC-BKP-006", U, (looked_through(), snapshot())),
    ("KC-BKP-007", P, (snapshot(),)),
    ("KC-BKP-007", P, (snapshot(hours=365 * 24),)),
    ("KC-BKP-007", F, (snapshot(hours=366 * 24),)),
    ("KC-BKP-007", U, (snapshot(hours=None, file_hours=366 * 24),)),
    ("KC-BKP-007", F, (snapshot(hours=None), key_store(record(), register=(registered(days=366),)))),
    ("KC-BKP-007", P, (snapshot(), key_store(record(KeyState.ACTIVE, KeyState.DEACTIVATED)))),
    ("KC-BKP-007", F, (snapshot(), key_store(record(KeyState.ACTIVE, KeyState.COMPROMISED)))),
    # The same bytes by another name, and a name of which nobody knows the bytes.
    ("KC-BKP-007", F, (snapshot(), key_store(record(KeyState.ACTIVE, KeyState.COMPROMISED, ref=OTHER)))),
    ("KC-BKP-007", F, (needing(OPENS_NOTHING), key_store(record(KeyState.ACTIVE, KeyState.COMPROMISED)))),
    ("KC-BKP-007", F, (key_store(register=(registered(days=366),)),)),
    ("KC-BKP-007", P, (key_store(register=(registered(days=365),)),)),
]
