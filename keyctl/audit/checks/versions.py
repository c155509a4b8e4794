"""Versions of etcd and of the API server beside what is known of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

from keyctl.audit.checks.advisories import ADVISORIES, AS_OF, SUPPORTED, USERS, Version
from keyctl.audit.checks.check import Check, Subjects, check, check_beside, check_once, known
from keyctl.audit.checks.mappings import VER
from keyctl.audit.facts import About, Facts, Program, UndecidedError, Unread
from keyctl.audit.live.members import EtcdState, MemberState
from keyctl.audit.verdicts import Verdict, failed, passed
from keyctl.findings import Evidence, Location, Rule, Severity, Status

ADVISORY = Rule(
    "KC-VER-001",
    Severity.HIGH,
    "this version of etcd has a known flaw",
    "Flaws of etcd's users and roles do not matter where Kubernetes is its only client: they count as low.",
    "upgrade etcd to the newest patch of its minor",
    f"etcd's changelogs and advisories, as of {AS_OF}",
    VER,
)
UNSUPPORTED = Rule(
    "KC-VER-002",
    Severity.HIGH,
    "this version of etcd gets no fixes any more",
    "The two newest minors are supported; one more may still get fixes.",
    "upgrade etcd, one minor at a time",
    f"etcd's branches, as of {AS_OF}",
    ("nist-800-53/SA-22", *VER),
)
OLD_DATA = Rule(
    "KC-VER-004",
    Severity.LOW,
    "the list of known flaws is older than 90 days",
    "A flaw that was found since is not in the list.",
    "upgrade keyctl",
    "",
    VER,
)

_VERSION = re.compile(r"([0-9]+)\.([0-9]+)\.([0-9]+)")
_OLDEST = timedelta(days=90)


_Etcd = Program | MemberState | Unread


def _etcds(facts: Facts) -> tuple[_Etcd, ...]:
    """Members that answered or should have, and what files tell of. A file without a version adds nothing to those.

    Nor does a process, which never says its version, to the file that it was started from.
    """
    unread = (one for one in facts.unread if About.MEMBER in one.about)
    running: tuple[_Etcd, ...] = (*facts.of(MemberState), *unread)
    told = {_name(one) for one in facts.etcds if one.version} - {""}
    silent = [one for one in facts.etcds if not one.version]
    unheard = (one for one in silent if one.evidence is not Evidence.E2 or _name(one) not in told)
    return (*running, *(one for one in facts.etcds if one.version), *(() if running else unheard))


_ETCDS: Subjects[_Etcd] = Subjects(About.ETCD, _etcds)


@check_beside(ADVISORY, _ETCDS)
def no_known_flaw(etcd: _Etcd, facts: Facts) -> Iterator[Verdict]:
    """Each advisory."""
    version, told = _version(etcd)
    hits = [one for one in ADVISORIES if one.hits(version)]
    has_users = any(one.auth for one in facts.of(EtcdState))
    for severity, needs in dict.fromkeys((one.severity, one.needs) for one in hits):
        named = "; ".join(f"{one.id}, {one.what}" for one in hits if (one.severity, one.needs) == (severity, needs))
        if needs == USERS and has_users:
            yield failed(f"{told}: {named} (users and roles are on)", etcd, severity=Severity.HIGH)
        else:
            context = f" (matters with {needs})" if needs else ""
            yield failed(f"{told}: {named}{context}", etcd, severity=severity)
    if not hits:
        yield passed(f"nothing was known against {told} on {AS_OF}", etcd)


@check(UNSUPPORTED, _ETCDS)
def supported(etcd: _Etcd) -> Iterator[Verdict]:
    """The minor."""
    version, told = _version(etcd)
    minor = version[:2]
    if minor < min(SUPPORTED):
        yield failed(f"{told} is out of support", etcd)
    elif minor > max(SUPPORTED):
        raise UndecidedError(f"{told} is newer than the list of versions", etcd)
    else:
        yield passed(f"{told} is supported", etcd)


@check_once(OLD_DATA, About.CLUSTER)
def data_is_new(facts: Facts) -> Iterator[Verdict]:
    """The date of the list."""
    old = facts.today - AS_OF > _OLDEST
    status, message = Status.FAIL if old else Status.PASS, f"advisories as of {AS_OF}"
    if facts.today < AS_OF:
        status, message = Status.UNKNOWN, f"{message}, and the clock here says {facts.today}, which is before that"
    yield Verdict(status, message, Location(), Evidence.E1)


def _name(etcd: Program) -> str:
    named = known(etcd, "name")
    return named.value if named else ""


def _version(etcd: _Etcd) -> tuple[Version, str]:
    """The version, and the sentence's subject for it: "etcd 3.7.3", with the name of a running member."""
    if isinstance(etcd, Unread):
        raise UndecidedError(f"not read: {etcd.reason}", etcd)
    match = _VERSION.match(etcd.version)
    if match is None:
        raise UndecidedError(f"the version of {etcd.name} is not known", etcd)
    member = f" of {etcd.name}" if isinstance(etcd, MemberState) else ""
    return (int(match[1]), int(match[2]), int(match[3])), f"etcd {etcd.version}{member}"


CHECKS: tuple[Check, ...] = (
    no_known_flaw,
    supported,
    data_is_new,
)
