"""Facts, a profile and waivers → every check with its results, and how much of what applies was judged. Pure.

What is not known is never taken for right: a check without a verdict is UNKNOWN, and so is one about something that
stands in a file which could not be read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

from keyctl.audit import integrity
from keyctl.audit.baseline import NOTHING, Known, mark_of
from keyctl.audit.checks import meta
from keyctl.audit.checks.catalogue import CHECKS, RULES
from keyctl.audit.checks.check import Check
from keyctl.audit.facts import About, Configuration, Facts, Placed, Program
from keyctl.audit.live.api_servers import RunningServer
from keyctl.audit.live.stored_values import StoredValues
from keyctl.audit.operated import MANAGED, OperatorEncryption
from keyctl.audit.profiles.profile import Profile
from keyctl.audit.verdicts import Verdict, not_applicable, unknown
from keyctl.audit.waivers import Waiver
from keyctl.findings import Evidence, Finding, Location, Rule, Severity, Status

# Of several results of one check the first of these is that of the check.
_WORST_FIRST = (Status.FAIL, Status.UNKNOWN, Status.MANUAL, Status.WAIVED, Status.PASS, Status.NOT_APPLICABLE)
_SEVERITIES = tuple(Severity)
# By these somebody runs a control plane himself: that another one is managed says nothing about it.
_OWN: tuple[type[Placed], ...] = (Program, Configuration, OperatorEncryption, RunningServer, StoredValues)
_OF_OWN = frozenset({About.API_SERVER, About.ETCD, About.CONFIGURATION, About.RUNNING_SERVER, About.STORED_VALUES})


class Outcome(Enum):
    """What decides the exit code; several may come at once."""

    EXPIRED = "a waiver is expired"
    FAILED = "a check fails"
    UNKNOWN = "a check that is required is not known"


@dataclass(frozen=True, slots=True)
class Result:
    """One verdict under its rule. `waived` is the waiver that excuses it; a FAIL that `counts` makes the exit code."""

    rule: Rule
    verdict: Verdict
    waived: Waiver | None = None
    counts: bool = True

    @property
    def status(self) -> Status:
        """That of the verdict, or WAIVED."""
        return Status.WAIVED if self.waived else self.verdict.status

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return self.verdict.severity or self.rule.severity


@dataclass(frozen=True, slots=True)
class Judged:
    """One check of the profile with its results, of which there is at least one."""

    rule: Rule
    results: tuple[Result, ...]

    @property
    def status(self) -> Status:
        """The worst of its results."""
        return min((one.status for one in self.results), key=_WORST_FIRST.index)

    @property
    def applies(self) -> bool:
        """Whether there is anything to judge."""
        return self.status is not Status.NOT_APPLICABLE

    @property
    def is_unknown(self) -> bool:
        """Whether something of it is not known, and nobody excuses that."""
        return any(one.status is Status.UNKNOWN for one in self.results)

    @property
    def evaluated(self) -> bool:
        """Whether everything that applies was judged; what is waived was judged before."""
        judged = (Status.PASS, Status.FAIL, Status.NOT_APPLICABLE)
        return self.applies and all(one.verdict.status in judged for one in self.results)


@dataclass(frozen=True, slots=True)
class Audit:
    """The whole run. `known` is how many failures stood in the baseline."""

    profile: Profile
    checks: tuple[Judged, ...]
    outcomes: frozenset[Outcome]
    known: int = 0

    @property
    def applicable(self) -> int:
        """How many checks apply, less those about the audit itself."""
        return sum(one.applies for one in self.checks if one.rule not in meta.RULES)

    @property
    def evaluated(self) -> int:
        """How many of them were judged in full."""
        return sum(one.evaluated for one in self.checks if one.rule not in meta.RULES)


def audit(
    facts: Facts,
    profile: Profile,
    waivers: tuple[Waiver, ...] = (),
    *,
    bar: Severity | None,
    baseline: Known = NOTHING,
) -> Audit:
    """Judge `facts` by `profile`.

    `bar` is the least severity of a failure that counts, None where none does; what stands in `baseline` does not.
    """
    used: set[Waiver] = set()
    judged = []
    for check in CHECKS:
        if check.rule.id in profile.controls:
            verdicts = _verdicts(check, facts, profile)
            judged.append(Judged(check.rule, tuple(_waived(check.rule, one, waivers, facts, used) for one in verdicts)))
    judged += tuple(_about_itself(judged, facts, profile, waivers, used))
    failures = [one for check in judged for one in check.results if one.status is Status.FAIL]
    new = _new(failures, profile, baseline, facts)
    counting = [one for one in new if bar is not None and _SEVERITIES.index(one.severity) <= _SEVERITIES.index(bar)]
    judged = [_counted(check, {id(one) for one in counting}) for check in judged]
    outcomes = {Outcome.FAILED} if counting else set()
    if any(one.is_expired(facts.today) for one in waivers):
        outcomes.add(Outcome.EXPIRED)
    if _is_unknown(judged, profile):
        outcomes.add(Outcome.UNKNOWN)
    return Audit(profile, tuple(judged), frozenset(outcomes), len(failures) - len(new))


def _counted(check: Judged, counting: set[int]) -> Judged:
    """`check` with its failures told apart: `counting` are the identities of those that count."""
    results = (replace(one, counts=id(one) in counting) if one.status is Status.FAIL else one for one in check.results)
    return replace(check, results=tuple(results))


def _new(failures: list[Result], profile: Profile, baseline: Known, facts: Facts) -> list[Result]:
    """Those that are not in the baseline, or more often than there."""
    seen: Counter[tuple[str, str, str]] = Counter()
    new = []
    for one in failures:
        mark = mark_of(finding(one, profile), facts.names)
        seen[mark] += 1
        if seen[mark] > baseline.get(mark, 0):
            new.append(one)
    return new


def finding(result: Result, profile: Profile) -> Finding:
    """A result as every command reports it, with the framework's own ids first."""
    verdict, rule = result.verdict, result.rule
    own = tuple(f"{profile.name}/{control}" for control in profile.controls.get(rule.id, ()))
    message = verdict.message
    excuse = None
    if result.waived:
        excuse = f"waived until {result.waived.expires} by {result.waived.owner}: {result.waived.reason}"
        message = f"{message} ({excuse})"
    fix = (verdict.fix or rule.fix) if result.status is Status.FAIL else None
    mappings = tuple(dict.fromkeys((*own, *rule.mappings)))
    return Finding(
        rule.id,
        result.severity,
        result.status,
        message,
        verdict.location,
        verdict.evidence,
        fix,
        mappings,
        excuse,
        result.counts,
    )


def _verdicts(check: Check, facts: Facts, profile: Profile) -> Iterator[Verdict]:
    if check.asks:
        yield Verdict(Status.MANUAL, f"find out {check.asks}", Location(), Evidence.E0)
        return
    found = tuple(check.judge(facts))
    unread = tuple(_unread(check.about, facts))
    yield from found
    yield from unread
    if not found and not unread:
        yield from _absent(check.about, facts, profile)


def _unread(about: About, facts: Facts) -> Iterator[Verdict]:
    for one in facts.unread:
        if about in one.about or (about is About.PROGRAM and one.about & {About.ETCD, About.API_SERVER}):
            yield unknown(f"not read: {one.reason}", one)


def _absent(about: About, facts: Facts, profile: Profile) -> Iterator[Verdict]:
    own = _runs_one(facts)
    told = [one for one in facts.absent if one.about is about and not (own and one.reason == MANAGED)]
    for one in told:
        yield not_applicable(one.reason, one.message, one)
    if not told:
        message = f"nothing about it was given: {about}"
        status = Status.NOT_APPLICABLE if profile.absent_is_fine else Status.UNKNOWN
        yield Verdict(status, message, Location(), Evidence.E0, reason="not-given" if profile.absent_is_fine else "")


def _runs_one(facts: Facts) -> bool:
    return any(isinstance(one, _OWN) for one in facts.found) or any(one.about & _OF_OWN for one in facts.unread)


def _waived(rule: Rule, verdict: Verdict, waivers: tuple[Waiver, ...], facts: Facts, used: set[Waiver]) -> Result:
    if verdict.status in (Status.FAIL, Status.UNKNOWN, Status.MANUAL):
        file = verdict.location.file or ""
        for one in waivers:
            if one.fits(rule.id, file, facts.names):
                used.add(one)
                if not one.is_expired(facts.today):
                    return Result(rule, verdict, one)
    return Result(rule, verdict)


def _about_itself(
    judged: list[Judged], facts: Facts, profile: Profile, waivers: tuple[Waiver, ...], used: set[Waiver]
) -> Iterator[Judged]:
    nowhere = Location()
    if meta.WAIVERS.id in profile.controls:
        yield Judged(meta.WAIVERS, tuple(_waiver_results(waivers, used, facts)))
    if meta.COVERAGE.id in profile.controls:
        left = [one.rule.id for one in judged if one.is_unknown and one.rule.id not in profile.optional]
        if not any(one.evaluated for one in judged):
            verdict = Verdict(Status.UNKNOWN, "nothing was there to be judged", nowhere, Evidence.E0)
        elif left:
            verdict = Verdict(Status.UNKNOWN, f"not judged in full: {', '.join(left)}", nowhere, Evidence.E0)
        else:
            excused = [one.rule.id for one in judged if any(result.waived for result in one.results)]
            but = f", but for what is waived: {', '.join(excused)}" if excused else ""
            message = f"everything that is required was judged{but}"
            verdict = Verdict(Status.PASS, message, nowhere, Evidence.E1)
        yield Judged(meta.COVERAGE, (Result(meta.COVERAGE, verdict),))
    if meta.INTEGRITY.id in profile.controls:
        yield Judged(meta.INTEGRITY, (Result(meta.INTEGRITY, integrity.verdict(facts, profile, RULES)),))


def _waiver_results(waivers: tuple[Waiver, ...], used: set[Waiver], facts: Facts) -> Iterator[Result]:
    for one in waivers:
        if one.is_expired(facts.today):
            message = f"the waiver of {one.owner} for {one.id} expired on {one.expires}"
            yield Result(meta.WAIVERS, Verdict(Status.FAIL, message, one.location, Evidence.E1))
        elif one not in used:
            message = f"the waiver of {one.owner} for {one.id} excuses nothing"
            yield Result(meta.WAIVERS, Verdict(Status.FAIL, message, one.location, Evidence.E1, severity=Severity.LOW))
        else:
            message = f"the waiver of {one.owner} for {one.id} holds until {one.expires}"
            yield Result(meta.WAIVERS, Verdict(Status.PASS, message, one.location, Evidence.E1))
    if not waivers:
        verdict = Verdict(Status.NOT_APPLICABLE, "no waivers were given", Location(), Evidence.E0, reason="no-waivers")
        yield Result(meta.WAIVERS, verdict)


def _is_unknown(judged: list[Judged], profile: Profile) -> bool:
    if any(one.is_unknown for one in judged if one.rule.id not in profile.optional):
        return True
    # Nothing found is not clean, whatever the profile makes of what is absent.
    return not any(one.evaluated for one in judged if one.rule not in meta.RULES)
