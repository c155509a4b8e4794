"""What the ports of etcd answer to those whom they must refuse, as it was tried."""

from __future__ import annotations

from collections.abc import Iterator

from keyctl.audit.checks.check import Check, Subjects, check, check_once
from keyctl.audit.checks.mappings import NET, TLS
from keyctl.audit.facts import About, Facts
from keyctl.audit.live.probes import PortAnswers, Role
from keyctl.audit.live.reach import Reached
from keyctl.audit.verdicts import Verdict, failed, not_applicable, passed, unknown
from keyctl.findings import Evidence, Location, Rule, Severity, Status
from keyctl.pki.survey import Attempt, Knock, Outcome
from keyctl.stored.display import display

LIVE_REFUSALS = Rule(
    "KC-TLS-009",
    Severity.CRITICAL,
    "etcd lets in whom it should refuse",
    "Plain HTTP, no certificate, and a certificate of another CA must each be refused, on the client and on the peer "
    "port of every member.",
    "look at what etcd really listens on: its log names every URL",
    "",
    TLS,
)
REACHABLE = Rule(
    "KC-NET-002",
    Severity.CRITICAL,
    "etcd's ports are reached from where they should not be",
    "A firewall that is believed to be there is found missing by trying.",
    "close 2379 and 2380 to all but the control plane",
    "",
    ("stig/V-242413", *NET),
)

PORTS: Subjects[PortAnswers] = Subjects(About.MEMBER, lambda facts: facts.of(PortAnswers))
_STRANGERS = (Attempt.PLAIN, Attempt.NO_CERTIFICATE, Attempt.FOREIGN, Attempt.EXPIRED)


@check(LIVE_REFUSALS, PORTS)
def strangers_refused(port: PortAnswers) -> Iterator[Verdict]:
    """Every stranger, and whether we are let in: a port that refuses everybody proves nothing."""
    answers = [one for one in port.survey.answers if one.attempt in _STRANGERS]
    let_in = [one for one in answers if one.outcome is Outcome.ACCEPTED]
    unclear = [one for one in answers if one.outcome is Outcome.UNKNOWN]
    for one in let_in:
        yield failed(
            f"{port.name} lets in who comes {one.attempt}: {one.said}", port, fix=_mend(one.attempt, port.role)
        )
    for said in dict.fromkeys(one.said for one in unclear):
        who = " or ".join(str(one.attempt) for one in unclear if one.said == said)
        yield unknown(f"whether {port.name} refuses who comes {who} is not known: {said}", port)
    if let_in or unclear:
        return
    own = port.survey.answer(Attempt.OWN)
    if own.outcome is not Outcome.ACCEPTED and port.role is Role.CLIENTS:
        yield unknown(f"{port.name} refuses everybody, as far as we see: our own certificate, too ({own.said})", port)
        return
    refused = ", ".join(str(one.attempt) for one in answers if one.outcome is Outcome.REFUSED)
    yield passed(f"{port.name} refuses who comes {refused}", port)


def _mend(attempt: Attempt, role: Role) -> str | None:
    """What turns that one away, where one flag does."""
    whom, prefix = ("client", "") if role is Role.CLIENTS else ("peer", "peer-")
    if attempt is Attempt.PLAIN:
        return f"let every URL of --listen-{whom}-urls be https: for http etcd ignores every flag of TLS"
    if attempt in (Attempt.NO_CERTIFICATE, Attempt.FOREIGN):
        return f"start the member with --{prefix}client-cert-auth=true and --{prefix}trusted-ca-file=CA of etcd's own"
    return None


def agrees_to_strong(port: PortAnswers) -> Iterator[Verdict]:
    """What a port says to old TLS and to weak ciphers, and whether it shows a certificate for its own name."""
    survey, wrong = port.survey, False
    if plain := without_tls(port):
        yield plain
        return
    for one in (survey.answer(Attempt.OLD_PROTOCOL), survey.answer(Attempt.WEAK_SUITE)):
        if one.outcome is Outcome.ACCEPTED:
            wrong = True
            yield failed(f"{port.name} takes who comes {one.attempt}", port)
        elif one.outcome is not Outcome.REFUSED:
            wrong = True
            yield unknown(f"whether {port.name} takes who comes {one.attempt} is not known: {one.said}", port)
    if survey.served is None:
        yield unknown(f"for whom the certificate of {port.name} is was not seen", port)
    elif not survey.is_for_us:
        names = display(", ".join(survey.served.names)) or "no name at all"
        yield failed(f"{port.name} shows a certificate that is not for this address, but for {names}", port)
    elif not wrong:
        yield passed(f"{port.name} speaks {survey.protocol}, and shows a certificate for this address", port)


def without_tls(port: PortAnswers) -> Verdict | None:
    """That TLS is not to be judged at a port that answers in plaintext and shows no certificate; None elsewhere."""
    if port.survey.served is None and port.survey.answer(Attempt.PLAIN).outcome is Outcome.ACCEPTED:
        return not_applicable("plaintext", f"{port.name} speaks no TLS: KC-TLS-009", port)
    return None


@check_once(REACHABLE, About.CLUSTER)
def out_of_reach(facts: Facts) -> Iterator[Verdict]:
    """Each port that somebody said must not be reached from here."""
    tried = facts.of(Reached)
    if not tried:
        message = "from where etcd must not be reached was not told: run this there, with --unreachable HOST"
        yield Verdict(Status.UNKNOWN, message, Location(), Evidence.E0)
    for one in tried:
        match one.knock:
            case Knock.OPEN:
                yield failed(f"{one.location.endpoint} is reached from this machine", one)
            case Knock.REFUSED:
                yield passed(f"{one.location.endpoint} refuses connections from this machine", one)
            case Knock.SILENT if one.sign:
                told = f"{one.location.endpoint} stays silent, and the same host answers at {one.sign}"
                yield passed(told, one)
            case Knock.SILENT:
                told = f"{one.location.endpoint} stays silent, and so does all of the host: it may just be down"
                yield unknown(told, one)
            case Knock.UNKNOWN:
                yield unknown(f"{one.location.endpoint} could not be tried from this machine", one)


CHECKS: tuple[Check, ...] = (strangers_refused, out_of_reach)
