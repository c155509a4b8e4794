"""What ties a report to what it was made of: the rules and every input, by their SHA-256. Pure.

A report cannot hold its own hash, and keyctl signs nothing: who keeps it as evidence signs the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict

from keyctl.audit.facts import Facts, FileFact, Unread
from keyctl.audit.inputs import InputFile
from keyctl.audit.live.backups import BackupPlace
from keyctl.audit.profiles.profile import Profile
from keyctl.audit.verdicts import Verdict
from keyctl.findings import Evidence, Location, Rule, Status


def verdict(facts: Facts, profile: Profile, rules: Iterable[Rule]) -> Verdict:
    """Whether everything that was looked into is named in the report by its bytes, as far as it has some."""
    inputs, observed, unnamed = facts.of(InputFile), _observed(facts), _unnamed(facts)
    if not (inputs or observed or unnamed):
        return Verdict(Status.UNKNOWN, "nothing was looked into", Location(), Evidence.E0)
    if unnamed:
        said = f"the report has no SHA-256 of {', '.join(unnamed[:3])}"
        return Verdict(Status.UNKNOWN, said, Location(file=unnamed[0]), Evidence.E0)
    live = f", and what {len(observed)} {'endpoint' if len(observed) == 1 else 'endpoints'} said" if observed else ""
    message = f"the report names rules {ruleset(profile, rules)[:12]} and {len(inputs)} inputs by their SHA-256{live}"
    return Verdict(Status.PASS, f"{message}; it is not signed", Location(), Evidence.E1)


def data(facts: Facts, profile: Profile, rules: Iterable[Rule]) -> dict[str, object]:
    """The fields of an `AuditReport` that it is tied to its inputs by."""
    inputs = sorted(facts.of(InputFile), key=lambda one: str(one.location.file))
    return {
        "ruleset": {"sha256": ruleset(profile, rules)},
        "inputs": [
            {"file": one.location.file, "sha256": one.sha256, "bytes": one.read, "whole": one.whole} for one in inputs
        ],
        "observed": _observed(facts),
        "signed": False,
    }


def ruleset(profile: Profile, rules: Iterable[Rule]) -> str:
    """The SHA-256 of every one of `rules` that `profile` has, and of the profile, in one canonical JSON.

    How they are judged is the program's, which the report names by its version.
    """
    chosen = {
        "profile": [profile.name, profile.source, profile.absent_is_fine, sorted(profile.optional)],
        "controls": {rule: list(names) for rule, names in sorted(profile.controls.items())},
        "rules": [asdict(one) for one in sorted(rules, key=lambda rule: rule.id) if one.id in profile.controls],
    }
    return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()


def _unnamed(facts: Facts) -> list[str]:
    """Files that something is known of, and that the report has no hash of. Of modes there is none to be had."""
    named = {one.location.file for one in facts.of(InputFile)}
    told = (one for one in facts.found if not isinstance(one, Unread | FileFact | BackupPlace))
    return sorted({one.location.file for one in told if one.location.file} - named)


def _observed(facts: Facts) -> list[str]:
    """The endpoints that something was observed at."""
    return sorted({one.location.endpoint for one in facts.found if one.location.endpoint})
