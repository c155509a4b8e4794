"""A report names the rules and every input by their hashes; what it could not name, it says."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from keyctl.audit import integrity
from keyctl.audit.checks.catalogue import RULES
from keyctl.audit.collect import collect
from keyctl.audit.engine import audit
from keyctl.audit.facts import About, Facts, Placed, Unread
from keyctl.audit.inputs import InputFile
from keyctl.audit.profiles.catalogue import PROFILES
from keyctl.audit.report import report
from keyctl.findings import Location, Severity, Status
from tests.unit.audit.given import GOOD_CONFIG, TODAY, file
from tests.unit.audit.kept import looked_through, snapshot
from tests.unit.audit.running_etcd import member

ALL = PROFILES["all"]
READ = InputFile(Location("/backup/a.db"), "0" * 64, 10)


def known(*found: Placed) -> Facts:
    return Facts(TODAY, found)


def verdict(given: Facts) -> tuple[Status, str]:
    found = integrity.verdict(given, ALL, RULES)
    return found.status, found.message


def test_every_file_that_was_looked_into_is_named_by_the_hash_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "enc.yaml").write_text(GOOD_CONFIG)
    (tmp_path / "other.yaml").write_text("a: b\n")
    given = collect([tmp_path], today=TODAY)
    shown = report(audit(given, ALL, bar=None), given).data
    assert shown["inputs"] == [
        {
            "file": str(path),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "bytes": path.stat().st_size,
            "whole": True,
        }
        for path in sorted(tmp_path.iterdir())
    ]
    assert (shown["observed"], shown["signed"]) == ([], False)
    status, message = verdict(given)
    assert status is Status.PASS
    assert "2 inputs by their SHA-256; it is not signed" in message


def test_of_a_large_file_the_hash_is_of_what_was_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    path.write_bytes(b"#" * (1 << 21))
    (one,) = collect([tmp_path], today=TODAY).of(InputFile)
    assert (one.read, one.whole) == ((1 << 20) + 1, False)
    assert one.sha256 == hashlib.sha256(b"#" * one.read).hexdigest()


def test_a_file_that_something_is_known_of_and_that_has_no_hash_is_named() -> None:
    assert verdict(known(snapshot())) == (Status.UNKNOWN, "the report has no SHA-256 of /backup/a.db")
    assert verdict(known(snapshot(), READ))[0] is Status.PASS


def test_modes_and_directories_have_no_hash_and_what_was_not_read_neither() -> None:
    unread = Unread("permission denied", frozenset({About.BACKUP}), Location("/backup/b.db"))
    mode = file("manifest")
    assert verdict(known(snapshot(), READ, mode, looked_through(), unread))[0] is Status.PASS


def test_what_was_observed_is_named_by_its_place() -> None:
    status, message = verdict(known(member(), READ))
    assert (status, "and what 1 endpoint said" in message) == (Status.PASS, True)
    assert integrity.data(known(member()), ALL, RULES)["observed"] == [member().location.endpoint]


def test_nothing_looked_into_proves_nothing() -> None:
    assert verdict(known()) == (Status.UNKNOWN, "nothing was looked into")


def test_another_rule_or_another_profile_is_another_set_of_rules() -> None:
    here = integrity.ruleset(ALL, RULES)
    assert here == integrity.ruleset(ALL, reversed(RULES))
    changed = (replace(RULES[0], severity=Severity.INFO), *RULES[1:])
    others = {
        integrity.ruleset(ALL, changed),
        integrity.ruleset(PROFILES["host"], RULES),
        integrity.ruleset(replace(ALL, optional=frozenset({"KC-ENC-001"})), RULES),
    }
    assert len({here, *others}) == 4


def test_a_rule_that_the_profile_does_not_have_changes_nothing() -> None:
    host = PROFILES["host"]
    other = next(rule for rule in RULES if rule.id not in host.controls)
    changed = tuple(replace(rule, title="another") if rule is other else rule for rule in RULES)
    assert integrity.ruleset(host, RULES) == integrity.ruleset(host, changed)
