"""docs/audit-checks.md as it must be: every check of `keyctl audit`, what it is judged from, and who asks for it."""

from __future__ import annotations

from keyctl.audit.checks import meta
from keyctl.audit.checks.catalogue import CHECKS
from keyctl.audit.checks.check import Check
from keyctl.audit.profiles.catalogue import PROFILES
from keyctl.audit.profiles.profile import Profile
from keyctl.findings import Rule

_ALL = "all"


def page() -> str:
    """The whole page."""
    judged = sum(not one.needs for one in CHECKS)
    waiting = sum(bool(one.needs) and not one.person for one in CHECKS)
    head = _HEAD.format(
        all=len(CHECKS) + len(meta.RULES), judged=judged, waiting=waiting, person=len(CHECKS) - judged - waiting
    )
    rows = [_row(one.rule, _source(one)) for one in sorted(CHECKS, key=lambda one: one.rule.id)]
    rows += [_row(rule, "the audit itself") for rule in meta.RULES]
    return head + "\n".join(rows) + "\n" + _PROFILES + "\n".join(_profile(one) for one in PROFILES.values()) + "\n"


def _row(rule: Rule, source: str) -> str:
    named = [f"{one.name} {', '.join(one.controls[rule.id])}".rstrip() for one in _those_with(rule)]
    link = f"[{rule.id}](findings.md#{rule.id.lower()})"
    return f"| {link} | {rule.severity} | {rule.title} | {source} | {'; '.join(named)} | {', '.join(rule.mappings)} |"


def _source(check: Check) -> str:
    if check.person:
        return f"a person finds out {check.needs}"
    return f"not yet: needs {check.needs}" if check.needs else "files"


def _those_with(rule: Rule) -> list[Profile]:
    return [one for one in PROFILES.values() if rule.id in one.controls and one.name != _ALL]


def _profile(profile: Profile) -> str:
    return f"| `{profile.name}` | {profile.title} | {len(profile.controls)} | {profile.source} |"


_HEAD = """# The checks of keyctl audit

{all} checks: {judged} are judged from files, {waiting} wait for what keyctl does not collect yet and are unknown until
then, {person} ask a person, and three are about the audit itself. Behind each id stands what it means and what to do.
How to use them: [audit.md](audit.md). Generated: `make generate`.

| id | severity | what is wrong when it fails | judged from | profiles, with their own ids | also asked for by |
|---|---|---|---|---|---|
"""
_PROFILES = """
## Profiles

| name | what | checks | known from |
|---|---|---|---|
"""
