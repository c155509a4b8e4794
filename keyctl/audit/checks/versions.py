"""Versions of etcd and of the API server beside what is known of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

from keyctl.audit.checks.advisories import ADVISORIES, AS_OF, SUPPORTED, Version
from keyctl.audit.checks.check import ETCDS, Check, check, check_once, pending
from keyctl.audit.checks.mappings import VER
from keyctl.audit.facts import About, Facts, Program, UndecidedError
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
SKEW = Rule(
    "KC-VER-003",
    Severity.MEDIUM,
    "members or API servers run versions that do not go together",
    "Wildcards need Kubernetes 1.27, automatic reload 1.26, KMS v2 1.29.",
    "end the upgrade that was begun",
    "",
    VER,
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


@check(ADVISORY, ETCDS)
def no_known_flaw(etcd: Program) -> Iterator[Verdict]:
    """Each advisory."""
    version = _version(etcd)
    hits = [one for one in ADVISORIES if one.hits(version)]
    for severity, needs in dict.fromkeys((one.severity, one.needs) for one in hits):
        named = "; ".join(f"{one.id}, {one.what}" for one in hits if (one.severity, one.needs) == (severity, needs))
        context = f" (matters with {needs})" if needs else ""
        yield failed(f"etcd {etcd.version}: {named}{context}", etcd, severity=severity)
    if not hits:
        yield passed(f"nothing is known against etcd {etcd.version}", etcd)


@check(UNSUPPORTED, ETCDS)
def supported(etcd: Program) -> Iterator[Verdict]:
    """The minor."""
    minor = _version(etcd)[:2]
    if minor < min(SUPPORTED):
        yield failed(f"etcd {etcd.version} is out of support", etcd)
    elif minor > max(SUPPORTED):
        raise UndecidedError(f"etcd {etcd.version} is newer than the list of versions", etcd)
    else:
        yield passed(f"etcd {etcd.version} is supported", etcd)


@check_once(OLD_DATA, About.CLUSTER)
def data_is_new(facts: Facts) -> Iterator[Verdict]:
    """The date of the list."""
    old = facts.today - AS_OF > _OLDEST
    message = f"advisories as of {AS_OF}"
    yield Verdict(Status.FAIL if old else Status.PASS, message, Location(), Evidence.E1)


def _version(etcd: Program) -> Version:
    match = _VERSION.match(etcd.version)
    if match is None:
        raise UndecidedError(f"the version of {etcd.name} is not known", etcd)
    return int(match[1]), int(match[2]), int(match[3])


CHECKS: tuple[Check, ...] = (
    no_known_flaw,
    supported,
    pending(SKEW, About.CLUSTER, "the versions of every member and API server"),
    data_is_new,
)
