"""Who holds a certificate that opens etcd, and what becomes of one that is stolen: judged from files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from keyctl.audit.checks.check import Check, Subjects, check_beside
from keyctl.audit.checks.mappings import AUTH, TLS
from keyctl.audit.facts import About, CertificateFact, Facts, Program, Setting, UndecidedError
from keyctl.audit.revocation import RevocationList
from keyctl.audit.verdicts import Verdict, failed, passed, unknown
from keyctl.findings import Rule, Severity

CERTIFICATE_HOLDERS = Rule(
    "KC-AUTH-003",
    Severity.MEDIUM,
    "others than API server, health check and backup hold a client certificate of etcd",
    "Each of them reads every value past the API server's authorization.",
    "revoke what is not needed; sign certificates for etcd with a CA of its own",
    "",
    AUTH,
)
REVOCATION = Rule(
    "KC-TLS-013",
    Severity.MEDIUM,
    "a stolen certificate of etcd cannot be revoked",
    "etcd looks at revocation lists only where --client-crl-file and --peer-crl-file name them; otherwise a "
    "certificate is good until it expires.",
    "keep lifetimes short, or give revocation lists",
    "etcd client/pkg/transport",
    TLS,
)

# Not one of them is judged: what all that was found says together is.
_ETCDS: Subjects[Program] = Subjects(About.CLUSTER, lambda facts: facts.etcds)
_MEMBERS = ("cert-file", "peer-cert-file", "client-cert-file", "peer-client-cert-file")
_KNOWN = re.compile(r"health|backup|snapshot", re.IGNORECASE)
_MASTERS = re.compile(r"(?:^|[,+])O=system:masters(?:$|[,+])")
# So long a stolen certificate may be of use where nothing revokes it.
_SHORT = timedelta(days=31)


@check_beside(CERTIFICATE_HOLDERS, _ETCDS)
def few_holders(etcd: Program, facts: Facts) -> Iterator[Verdict]:
    """Every client certificate of etcd's CA that was found."""
    holders = _clients(etcd, facts)
    expected = _expected(facts)
    wrong = False
    for one in holders:
        if one.path not in expected and not _KNOWN.search(f"{one.subject} {one.path}"):
            wrong = True
            yield failed(f"{one.subject} is neither a member nor an API server, and opens etcd", one)
        elif _MASTERS.search(one.subject):
            wrong = True
            told = f"{one.subject} opens etcd and is master of Kubernetes, too, where its CA is trusted"
            yield failed(told, one, severity=Severity.LOW)
    if not wrong:
        yield _unread(facts) or passed(
            f"etcd is opened by {', '.join(sorted({one.subject for one in holders}))} only", etcd
        )


@check_beside(REVOCATION, _ETCDS)
def revocable(etcd: Program, facts: Facts) -> Iterator[Verdict]:
    """The lists, or how long a certificate without one is good."""
    clients, peers = etcd.given("client-crl-file"), etcd.given("peer-crl-file")
    for told in (clients, peers):
        if told is not None:
            yield _fresh(told, facts)
    if clients is None:
        longest = max(_clients(etcd, facts), key=lambda one: one.not_after - one.not_before)
        days = (longest.not_after - longest.not_before).days
        if longest.not_after - longest.not_before > _SHORT:
            yield failed(f"{longest.subject} is good for {days} days, and nothing can revoke it", etcd)
        else:
            right = passed(f"no certificate that opens {etcd.name} is good for more than {days} days", etcd)
            yield _unread(facts) or right


def _unread(facts: Facts) -> Verdict | None:
    """That a certificate was not read, which may be one that opens etcd; None where all were."""
    left = next((one for one in facts.unread if About.CERTIFICATE in one.about), None)
    return unknown(f"whether it opens etcd is not known: {left.reason}", left) if left else None


def _fresh(told: Setting, facts: Facts) -> Verdict:
    """Whether the list that a flag names is one, and not stale."""
    found = next((one for one in facts.of(RevocationList) if one.path == told.value), None)
    if found is None:
        return unknown(f"no revocation list was found at what {told.written} names", told)
    if found.next_update is None:
        return unknown("the revocation list does not say until when it holds", found)
    now = datetime(facts.today.year, facts.today.month, facts.today.day, tzinfo=UTC)
    if found.next_update < now:
        return failed(f"the revocation list is stale since {found.next_update:%Y-%m-%d}", found)
    return passed(f"the revocation list holds until {found.next_update:%Y-%m-%d}", found)


def _clients(etcd: Program, facts: Facts) -> tuple[CertificateFact, ...]:
    """The client certificates that the CA of `etcd` signed. Raises `UndecidedError` where there is none or no telling.

    A CA is known by its name: one name for several CAs tells nothing.
    """
    trusted = etcd.given("trusted-ca-file")
    if trusted is None:
        raise UndecidedError(f"which CA {etcd.name} trusts is not known", etcd)
    authorities = [one for one in facts.certificates if one.is_ca and one.path == trusted.value]
    if not authorities:
        raise UndecidedError(f"the certificate of the CA that {etcd.name} trusts was not found", trusted)
    names = {one.subject for one in authorities}
    if len({one.spki for one in facts.certificates if one.is_ca and one.subject in names}) > len(names):
        raise UndecidedError(f"several CAs are called {', '.join(sorted(names))}", trusted)
    signed = (one for one in facts.certificates if one.issuer in names and not one.is_ca and one.is_client)
    found = tuple(signed)
    if not found:
        raise UndecidedError("no client certificate of etcd's CA was found", trusted)
    return found


def _expected(facts: Facts) -> frozenset[str]:
    """The files that members and API servers are told to use."""
    named = [(one, name) for one in facts.etcds for name in _MEMBERS]
    named += [(one, "etcd-certfile") for one in facts.api_servers]
    return frozenset(path for program, name in named if (path := _path(program, name)))


def _path(program: Program, name: str) -> str:
    try:
        return program.text(name)
    except UndecidedError:
        return ""


CHECKS: tuple[Check, ...] = (few_holders, revocable)
