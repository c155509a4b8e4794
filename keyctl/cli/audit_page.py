"""docs/audit-checks.md as it must be: every check of `keyctl audit`, what it is judged from, and who asks for it."""

from __future__ import annotations

from keyctl.audit.checks import meta
from keyctl.audit.checks.catalogue import CHECKS
from keyctl.audit.checks.check import Check
from keyctl.audit.facts import About
from keyctl.audit.profiles.catalogue import PROFILES
from keyctl.audit.profiles.profile import Profile
from keyctl.findings import Rule

_ALL = "all"
# All others are judged from files.
_ALSO_FROM = {
    About.STORED_VALUES: "stored values",
    About.RUNNING_SERVER: "running API servers",
    About.MEMBER: "running members of etcd",
    About.CLUSTER: "files and the running cluster",
    About.BACKUP: "backups",
    About.KEY: "the ledger of keys",
}


def page() -> str:
    """The whole page."""
    judged = sum(not one.asks for one in CHECKS)
    files = sum(_source(one) == _FILES for one in CHECKS)
    total, person = len(CHECKS) + len(meta.RULES), len(CHECKS) - judged
    head = _HEAD.format(all=total, files=files, more=judged - files, person=person)
    rows = [_row(one.rule, _source(one)) for one in sorted(CHECKS, key=lambda one: one.rule.id)]
    rows += [_row(rule, "the audit itself") for rule in meta.RULES]
    return head + "\n".join(rows) + "\n" + _PROFILES + "\n".join(_profile(one) for one in PROFILES.values()) + "\n"


def _row(rule: Rule, source: str) -> str:
    profiles = _those_with(rule)
    named = [f"{one.name} {', '.join(one.controls[rule.id])}".rstrip() for one in profiles]
    told = {f"{one.name}/{control}" for one in profiles for control in one.controls[rule.id]}
    others = ", ".join(one for one in rule.mappings if one not in told)
    link = f"[{rule.id}](findings.md#{rule.id.lower()})"
    return f"| {link} | {rule.severity} | {rule.title} | {source} | {'; '.join(named)} | {others} |"


def _source(check: Check) -> str:
    return f"a person finds out {check.asks}" if check.asks else _ALSO_FROM.get(check.about, _FILES)


def _those_with(rule: Rule) -> list[Profile]:
    return [one for one in PROFILES.values() if rule.id in one.controls and one.name != _ALL]


def _profile(profile: Profile) -> str:
    return f"| `{profile.name}` | {profile.title} | {len(profile.controls)} | {profile.source} |"


_FILES = "files"
_HEAD = """# The checks of keyctl audit

{all} checks: {files} are judged from files alone, {more} from what runs, is stored or is kept too, {person} ask a
person, and three are about the audit itself. Behind each id stands what it means and what to do.
How to use them: [audit.md](audit.md). Generated: `make generate`.

| id | severity | what is wrong when it fails | judged from | profiles, with their own ids | also asked for by |
|---|---|---|---|---|---|
"""
_PROFILES = """
## Profiles

| name | what | checks | known from |
|---|---|---|---|
"""
