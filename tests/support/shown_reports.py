"""Reports as commands make them, of clusters clean, stale, plaintext, half rotated, rotated, and audited.

What a page, or any other format for people, is looked at with. All of it is made here and the same each time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from keyctl.audit.engine import audit
from keyctl.audit.profiles.catalogue import PROFILES
from keyctl.audit.report import report as audit_report
from keyctl.cli.catalogue import CATALOGUE
from keyctl.findings import Report, Severity
from keyctl.keys.key import Key, KeyRef
from keyctl.keys.ledger import KeyRecord, KeyState, Origin, StateChange
from keyctl.rotation import standing
from keyctl.rotation.diagnosis.diagnose import diagnose
from keyctl.rotation.diagnosis.facts import JournalSeen
from keyctl.rotation.evidence import write
from keyctl.rotation.evidence_check import check
from keyctl.rotation.evidence_report import to_report as evidence_report
from keyctl.rotation.moments import moments
from keyctl.rotation.plan import FileChange, Goal, History, Plan, ServerPlan
from keyctl.stored.source import Area, Coverage, Fragment
from keyctl.verify.report import to_report
from keyctl.verify.values import verify
from tests.support import seal
from tests.support.accidents import facts, server, text
from tests.support.memory_source import MemorySource
from tests.unit.audit.given import config, etcd, file
from tests.unit.audit.given import facts as audit_facts
from tests.unit.audit.given import server as api_server
from tests.unit.rotation.evidence_stories import Record, Story, hit_late
from tests.unit.verify.test_leftovers import MemoryFile

MADE = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
NEW = seal.key("key-20261121t183536z-e2b6", fill=2)
OLD, GONE = seal.key("key1", fill=1), seal.key("key0", fill=3)
CONFIG = seal.config(NEW, OLD, resources=("secrets", "configmaps", "certificates.cert-manager.io"))


def clean() -> Report:
    """Everything that must be encrypted is, under the key that writes."""
    return _verified(_values(NEW, 291, "secrets") | _values(NEW, 19, "configmaps") | _others())


def stale() -> Report:
    """Some values still stand under the key of before."""
    values = _values(NEW, 291, "secrets") | _values(OLD, 114, "secrets") | _values(OLD, 7, "configmaps") | _others()
    return _verified(values)


def plaintext() -> Report:
    """A snapshot with plaintext, a value that nobody can read, and old material behind what is live."""
    where = b"/registry/secrets/payments/db-pass"
    values = {
        **_values(NEW, 80, "secrets"),
        **_values(OLD, 40, "secrets"),
        **_values(None, 12, "secrets"),
        **_values(None, 19, "configmaps"),
        b"/registry/secrets/shop/moved": seal.seal(seal.key(NEW.name, fill=9), b"", seal.secret("moved")),
        b"/registry/secrets/shop/odd": b"\x00\x01 junk",
        **_others(),
    }
    old = seal.seal(GONE, where, seal.secret("db-pass"))
    source = MemoryFile(
        values,
        history=((where, seal.secret("db-pass"), 7), (where, old, 8)),
        fragments=tuple(
            Fragment(area, "page 7", where, 3, value, whole=True)
            for area, value in ((Area.FREE_PAGES, seal.secret("db-pass")), (Area.FREE_PAGES, old), (Area.WAL, old))
        ),
        coverage={**dict.fromkeys(Area, Coverage.SCANNED), Area.SNAP_DIR: Coverage.NOT_SCANNED},
    )
    return _verified(values, source=source, residue=True)


def half_rotated() -> Report:
    """One of three servers has not loaded the file that writes with the new key."""
    base, added = seal.config(OLD), seal.config(OLD, NEW)
    promoted, retired = seal.config(NEW, OLD), seal.config(NEW)
    stages = tuple((text(one, "").sha256,) for one in (base, added, promoted, retired))
    names = ("cp1", "cp2", "cp3")
    plan = Plan(
        rotation="20261122t090000z-3f2a",
        goal=Goal.ROTATE,
        cluster="prod",
        cluster_uid="0f4c3a52-7f37-4c6e-9c57-1d3b2f6a9e01",
        new=NEW.ref,
        fingerprint=NEW.fingerprint,
        old=(),
        change=FileChange(("secrets",), (0,), (0,)),
        history=History.COMPACT,
        settle=60.0,
        servers=tuple(ServerPlan(name, stages) for name in names),
    )
    records = _half_of_a_rotation(names)
    seen = facts(
        [server("cp1", promoted), server("cp2", promoted), server("cp3", added, promoted)],
        [("secrets", OLD, 291), ("secrets", NEW, 14), ("configmaps", None, 19)],
        copies=[added],
        journal=JournalSeen(
            "/var/lib/keyctl/prod/journal.jsonl",
            plan.rotation,
            str(records[0]["at"]),
            str(records[-1]["at"]),
            "promoting",
            plan=plan,
            waits={"cp3": str(records[-1]["at"])},
            moments=tuple(moments(records)),
        ),
    )
    at = datetime(2026, 11, 22, 9, 14, tzinfo=UTC)
    known = (_known(NEW.ref, NEW.fingerprint, at, 0), _known(OLD.ref, OLD.fingerprint, at, 93))
    return _whole(standing.report(standing.Standing(seen, diagnose(seen), at, known)))


def rotated() -> Report:
    """A rotation that ended, in which a value landed late."""
    with tempfile.TemporaryDirectory() as directory:
        bundle = Path(directory) / "evidence"
        write(bundle, hit_late())
        report = evidence_report(check(bundle))
    return _whole(replace(report, data={**report.data, "path": "/var/lib/keyctl/prod/evidence/20261121t100000z-beef"}))


def audited() -> Report:
    """Files of which some are wrong, some right, and much is not known."""
    found = audit_facts(
        etcd("--client-cert-auth=false", without=["client-cert-auth"]),
        api_server("--anonymous-auth=true", without=["audit-policy-file"]),
        config(),
        file("etcd data", 0o644, path="/var/lib/etcd"),
    )
    return _whole(audit_report(audit(found, PROFILES["cis-1.12"], bar=Severity.HIGH), found))


def _values(key: Key | None, count: int, resource: str) -> dict[bytes, bytes]:
    """`count` objects of `resource` under `key`, None: in plaintext."""
    made = {}
    for number in range(count):
        name = f"{'plain' if key is None else key.name}-{number:03}"
        where = f"/registry/{resource}/default/{name}".encode()
        plain = seal.secret(name) if resource == "secrets" else seal.config_map(name)
        made[where] = plain if key is None else seal.seal(key, where, plain)
    return made


def _others() -> dict[bytes, bytes]:
    """What no configuration encrypts, some of it with long names."""
    resources = ("pods", "rbac.authorization.k8s.io/clusterrolebindings", "apiregistration.k8s.io/apiservices")
    found = {f"/registry/{name}/thing-{number}": number for name in resources for number in range(7)}
    return {where.encode(): seal.config_map(f"thing-{number}") for where, number in found.items()}


def _verified(values: Mapping[bytes, bytes], *, source: MemorySource | None = None, residue: bool = False) -> Report:
    found = verify(source or MemorySource(values), prefix="/registry", config=CONFIG, residue=residue)
    return _whole(to_report(found))


def _half_of_a_rotation(names: Sequence[str]) -> list[Record]:
    """The journal of a rotation whose last server waits for its reload."""
    story = Story(now=datetime(2026, 11, 22, 9, tzinfo=UTC))
    story.add("begin")
    for name in names:
        story.write("ADDED", name)
        story.wait(55)
        story.prove_one(name, "ADDED")
    story.proof("readable", times=1)
    story.proof("readable", times=2)
    story.add("state", state="promoting")
    for name in names:
        story.write("PROMOTED", name)
        if name != names[-1]:
            story.wait(48)
            story.prove_one(name, "PROMOTED")
    return story.records


def _known(ref: KeyRef, fingerprint: str, now: datetime, days: int) -> KeyRecord:
    at = (now - timedelta(days=days)).isoformat()
    return KeyRecord(ref, fingerprint, Origin.GENERATED, (StateChange(KeyState.ACTIVE, at),))


def _whole(report: Report) -> Report:
    """`report` as it is when it is written to a file."""
    named = {one.id for one in report.findings}
    return replace(report, made=MADE, rules=tuple(rule for rule in CATALOGUE if rule.id in named))


SCENES = {one.__name__: one for one in (clean, stale, plaintext, half_rotated, rotated, audited)}
