"""Whom etcd's ports let in: each port that is known is tried as those would whom it must refuse.

The questions and the judgement are the audit's (KC-TLS-009, KC-TLS-010). Sends nothing but a question for the version.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from keyctl.audit.checks.certificates import WEAK_CIPHERS
from keyctl.audit.checks.etcd_ports import LIVE_REFUSALS, agrees_to_strong, strangers_refused
from keyctl.audit.facts import Facts
from keyctl.audit.live import probes
from keyctl.audit.live.members import Seen
from keyctl.audit.live.probes import PortAnswers
from keyctl.audit.verdicts import Verdict
from keyctl.cli import wiring
from keyctl.cli.checkup.item import Area, Checks, Item
from keyctl.cluster_file.settings import EtcdConnection
from keyctl.errors import KeyctlError
from keyctl.etcd.interface import EndpointStatus, Member
from keyctl.findings import Rule, Severity, Status
from keyctl.pki import refusals
from keyctl.pki.probe import Target
from keyctl.rotation.outline import counted

# A port that stays silent is tried in several ways.
_SECONDS = 3.0
_LABEL = "ports"
_CHECKS = Checks(Area.ETCD)


def look_at_ports(connection: EtcdConnection, statuses: Sequence[EndpointStatus]) -> Iterator[Item]:
    """The client ports that answered, and every other port that the members tell. `connection` has those endpoints."""
    if connection.cacert is None:
        return
    us = Target("", 0, connection.cacert, connection.cert, connection.key, connection.server_name)
    seconds = min(connection.timeout.total_seconds(), _SECONDS)
    seen = Seen((), _members(connection), tuple((one.member_id, one.endpoint) for one in statuses))
    try:
        with refusals.surveyor(us, seconds, now=datetime.now(UTC)) as prober:
            ports = tuple(probes.look(probes.doors(connection.endpoints, seen), prober))
    except KeyctlError as error:
        yield _CHECKS.unknown(LIVE_REFUSALS, _LABEL, f"whom the ports of etcd refuse was not tried: {error}")
    else:
        yield from judged(ports)


def judged(ports: Sequence[PortAnswers]) -> Iterator[Item]:
    """What the answers come to. What is only weak is a warning, and what is not known decides nothing."""
    facts = Facts(datetime.now(UTC).date(), tuple(ports))
    # Of a port that shows no certificate all there is to say is whom it let in, or why that is not known.
    spoken = [port for port in ports if port.survey.served is not None]
    weak = (replace(one, severity=Severity.MEDIUM) for port in spoken for one in agrees_to_strong(port))
    for rule, verdicts, refused in (
        (
            LIVE_REFUSALS,
            tuple(strangers_refused.judge(facts)),
            "without TLS, without a certificate, or with a foreign one",
        ),
        (WEAK_CIPHERS, tuple(weak), "with TLS 1.1 or weak ciphers"),
    ):
        right = [one for one in verdicts if one.status is Status.PASS]
        if right:
            refuse = "refuse" if len(right) > 1 else "refuses"
            yield _CHECKS.ok(rule, _LABEL, f"{counted(len(right), 'port')} of etcd {refuse} who comes {refused}")
        wrong = {one.location for one in verdicts if one.status is Status.FAIL}
        for one in verdicts:
            # Of a port that lets somebody in, whom else it lets in is no news.
            if one.status is Status.FAIL or (one.status is not Status.PASS and one.location not in wrong):
                yield _item(rule, one)


def _item(rule: Rule, verdict: Verdict) -> Item:
    label = (verdict.location.endpoint or "etcd").rpartition("://")[2]
    if verdict.status is Status.FAIL:
        item = _CHECKS.bad(rule, label, verdict.message, fix=verdict.fix)
        return replace(item, finding=replace(item.finding, severity=verdict.severity or rule.severity))
    item = _CHECKS.unknown(rule, label, verdict.message, fix="")
    return replace(item, finding=replace(item.finding, severity=Severity.INFO))


def _members(connection: EtcdConnection) -> tuple[Member, ...]:
    etcd = wiring.etcd(connection)
    try:
        return etcd.members()
    except KeyctlError:
        # That they were not told is said with what the members say of themselves.
        return ()
    finally:
        etcd.close()
