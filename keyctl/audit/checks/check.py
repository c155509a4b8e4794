"""How a check is made of a function and a rule, and what one is that only a person can make.

    @check(CLIENT_CERTIFICATE, ETCDS)
    def client_certificate(etcd: Program) -> Iterator[Verdict]:
        ...

The function sees one subject and yields at least one verdict about it. What it may not know raises `UndecidedError` by
itself (see `facts`), which is UNKNOWN; so is a function that yields nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from keyctl.audit.facts import (
    About,
    AuditPolicy,
    CertificateFact,
    Configuration,
    Facts,
    FileFact,
    Placed,
    Program,
    Setting,
    UndecidedError,
)
from keyctl.audit.verdicts import Verdict, unknown
from keyctl.findings import Rule

T = TypeVar("T", bound=Placed)


@dataclass(frozen=True, slots=True)
class Subjects(Generic[T]):
    """What a check looks at one by one: what that is called, and where among the facts it stands."""

    about: About
    of: Callable[[Facts], tuple[T, ...]]


API_SERVERS: Subjects[Program] = Subjects(About.API_SERVER, lambda facts: facts.api_servers)
ETCDS: Subjects[Program] = Subjects(About.ETCD, lambda facts: facts.etcds)
PROGRAMS: Subjects[Program] = Subjects(About.PROGRAM, lambda facts: facts.programs)
CONFIGURATIONS: Subjects[Configuration] = Subjects(About.CONFIGURATION, lambda facts: facts.configurations)
AUDIT_POLICIES: Subjects[AuditPolicy] = Subjects(About.AUDIT_POLICY, lambda facts: facts.audit_policies)
CERTIFICATES: Subjects[CertificateFact] = Subjects(About.CERTIFICATE, lambda facts: facts.certificates)


def files_of(*roles: str) -> Subjects[FileFact]:
    """The files and directories with one of these roles."""
    return Subjects(About.FILE, lambda facts: tuple(one for one in facts.files if one.role in roles))


@dataclass(frozen=True, slots=True)
class Check:
    """A rule and how it is judged. Where `asks` says what a person must find out, `judge` has nothing to say."""

    rule: Rule
    about: About
    judge: Callable[[Facts], Iterator[Verdict]]
    asks: str = ""


def check(rule: Rule, subjects: Subjects[T]) -> Callable[[Callable[[T], Iterator[Verdict]]], Check]:
    """Make a check of a function about one subject."""

    def made(function: Callable[[T], Iterator[Verdict]]) -> Check:
        return check_beside(rule, subjects)(lambda subject, _: function(subject))

    return made


def check_beside(rule: Rule, subjects: Subjects[T]) -> Callable[[Callable[[T, Facts], Iterator[Verdict]]], Check]:
    """The same for a function that must see a subject beside everything else."""

    def made(function: Callable[[T, Facts], Iterator[Verdict]]) -> Check:
        def judge(facts: Facts) -> Iterator[Verdict]:
            for subject in subjects.of(facts):
                yield from _judged(function(subject, facts), subject)

        return Check(rule, subjects.about, judge)

    return made


def check_once(rule: Rule, about: About) -> Callable[[Callable[[Facts], Iterator[Verdict]]], Check]:
    """Make a check of a function that is about no subject."""
    return lambda function: Check(rule, about, function)


def known(program: Program, name: str) -> Setting | None:
    """The setting of `program` where it is known to have a value."""
    try:
        return program.given(name)
    except UndecidedError:
        return None


def manual(rule: Rule, about: About, asks: str) -> Check:
    """A check that only a person can make: always MANUAL; `asks` says what to find out."""
    return Check(rule, about, _silent, asks)


def _silent(_: Facts) -> Iterator[Verdict]:
    return iter(())


def _judged(verdicts: Iterator[Verdict], subject: Placed) -> Iterator[Verdict]:
    said = False
    try:
        for one in verdicts:
            said = True
            yield one
    except UndecidedError as error:
        said = True
        yield unknown(str(error), error.at)
    if not said:
        yield unknown("the check came to no conclusion", subject)
