"""Reports as the tests of the formats need them: every status, hostile text, and very many findings."""

from __future__ import annotations

from datetime import UTC, datetime

from keyctl.errors import ExitCode
from keyctl.findings import Evidence, Finding, Location, Report, Rule, Severity, Status

MADE = datetime(2026, 10, 1, 12, 30, 5, tzinfo=UTC)
# Whatever a format gives a meaning to, what no XML, no UTF-8 or no line holds, and what a terminal obeys.
HOSTILE = (
    "a|b <script>x</script> &amp; \"q\" 'q' `c` *e* [l](http://evil.example) www.evil.example @team #1 \\ {x} $y "
    "\x00\x01\x1b[2J\x7f\x85\n\r\t\u2028\u202e\ud800\udfff\ufffe ]]> --> %2F ../.. # EOF"
)
RULES = tuple(
    Rule(id, severity, f"{id} is wrong", f"Why {id} matters.", f"mend {id}", "docs/audit.md", ("nist-800-53/SC-28(1)",))
    for id, severity in (
        ("KC-ENC-001", Severity.CRITICAL),
        ("KC-ENC-002", Severity.HIGH),
        ("KC-TLS-001", Severity.MEDIUM),
        ("KC-FS-001", Severity.LOW),
        ("KC-NET-001", Severity.INFO),
        ("KC-VER-001", Severity.HIGH),
    )
)
PLACE = Location("manifests/etcd.yaml", 7, 3)
MAPPINGS = ("ci-static/1.2.27", "nist-800-53/SC-28(1)", "nist-800-53/SC-12", "iso-27001/A.8.24")


def one(
    status: Status,
    id: str = "KC-ENC-001",
    severity: Severity = Severity.CRITICAL,
    message: str = "it is so",
    location: Location = PLACE,
) -> Finding:
    """A finding of this status; a waived one has the words of its waiver, a failed one what mends it."""
    return Finding(
        id,
        severity,
        status,
        message,
        location,
        Evidence.E1,
        fix="mend it" if status is Status.FAIL else None,
        mappings=MAPPINGS,
        excuse="waived until 2027-01-01 by team-x: later" if status is Status.WAIVED else None,
    )


def report(*findings: Finding, code: ExitCode = ExitCode.FINDINGS, evaluated: int = 4) -> Report:
    """An audit's report."""
    data: dict[str, object] = {"profile": "ci-static", "coverage": {"applicable": 5, "evaluated": evaluated}}
    return Report("AuditReport", code, "ci-static: so and so", findings, data, made=MADE, rules=RULES)


def of_every_status() -> Report:
    """One finding of each status, each of another check, some of them in no file."""
    places = (
        Location("manifests/etcd.yaml", 7, 3),
        Location("manifests/etcd.yaml"),
        Location(),
        Location(etcd_key="/registry/secrets/ns/name"),
        Location(endpoint="https://10.0.0.1:2379"),
        Location("/etc/kubernetes/a b.yaml", 1),
    )
    severities = (*Severity, Severity.HIGH)
    return report(
        *(
            one(status, rule.id, severity, f"about {status}", place)
            for status, rule, severity, place in zip(Status, RULES, severities, places, strict=True)
        )
    )


def hostile() -> Report:
    """Text of all kinds in every place that takes text, in every status."""
    findings = tuple(
        Finding(
            HOSTILE,
            Severity.HIGH,
            status,
            HOSTILE,
            Location(HOSTILE, 1, 1, HOSTILE, HOSTILE),
            fix=HOSTILE,
            mappings=(HOSTILE, "nist-800-53/SC-13"),
            excuse=HOSTILE,
        )
        for status in Status
    )
    data: dict[str, object] = {"profile": HOSTILE, "coverage": {"applicable": 1, "evaluated": HOSTILE}}
    rules = (Rule(HOSTILE, Severity.HIGH, HOSTILE, HOSTILE, HOSTILE, HOSTILE, (HOSTILE,)),)
    return Report(HOSTILE, ExitCode.FINDINGS, HOSTILE, findings, data, notes=(HOSTILE,), made=MADE, rules=rules)


def many(count: int) -> Report:
    """`count` findings of all statuses and severities in turn, the failures last."""
    statuses, severities = tuple(reversed(Status)), tuple(Severity)
    return report(
        *(
            one(
                statuses[number * len(statuses) // count],
                RULES[number % len(RULES)].id,
                severities[number % len(severities)],
                f"object {number}",
                Location(f"files/{number % 97}.yaml", number % 500 + 1),
            )
            for number in range(count)
        )
    )
