"""A report as OpenMetrics: gauges alone, without timestamps, which the node exporter's textfile collector reads too.

Names of files, hosts and objects are not in it: a label with such values grows without end in whoever collects them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from keyctl.findings import Finding, Report, Severity, Status

# By this line a file of ours is known, and may be replaced.
MARK = "# TYPE keyctl_report_exit_code gauge"
_SEVERITIES = tuple(Severity)
_Sample = tuple[Mapping[str, str], float]


def render(report: Report) -> str:
    """The exposition up to and with `# EOF`, without a newline at its end."""
    return "\n".join([line for family in _families(report) for line in family] + ["# EOF"])


def _families(report: Report) -> Iterator[list[str]]:
    of = {"report": report.kind}
    profile = report.data.get("profile")
    if isinstance(profile, str):
        of["profile"] = profile
    yield _family("exit_code", "The exit code of the run.", [(of, int(report.exit_code))])
    if report.made:
        yield _family(
            "timestamp_seconds",
            "When the run ended, in seconds since 1970.",
            [(of, report.made.timestamp())],
            "seconds",
        )
    found = Counter(one.status for one in report.findings)
    samples: list[_Sample] = [({**of, "status": str(status)}, found[status]) for status in Status]
    yield _family("findings", "How many findings have this status.", samples)
    yield from _coverage(report, of)
    yield _family(
        "check_findings", "How many findings of this check have this status.", list(_checks(report.findings, of))
    )
    for one in report.gauges:
        yield _family(one.name, one.help, [({**of, **labels}, value) for labels, value in one.samples], one.unit)


def _coverage(report: Report, of: Mapping[str, str]) -> Iterator[list[str]]:
    coverage = report.data.get("coverage")
    if not isinstance(coverage, Mapping):
        return
    applicable, evaluated = coverage.get("applicable"), coverage.get("evaluated")
    if not isinstance(applicable, int) or not isinstance(evaluated, int):
        return
    yield _family("checks_applicable", "How many checks apply.", [(of, applicable)])
    yield _family("checks_evaluated", "How many of them were judged in full.", [(of, evaluated)])
    # NOTE: nothing that applies is no coverage, not a whole one.
    share = evaluated / applicable if applicable else 0.0
    yield _family(
        "coverage_ratio", "The share of the checks that apply which was judged in full.", [(of, share)], "ratio"
    )


def _checks(findings: Iterable[Finding], of: Mapping[str, str]) -> Iterator[_Sample]:
    found: dict[str, Counter[Status]] = {}
    worst: dict[str, Severity] = {}
    for one in findings:
        found.setdefault(one.id, Counter())[one.status] += 1
        worst[one.id] = min(worst.get(one.id, one.severity), one.severity, key=_SEVERITIES.index)
    for id in sorted(found):
        for status in Status:
            yield {**of, "check": id, "severity": str(worst[id]), "status": str(status)}, found[id][status]


def _family(name: str, help: str, samples: Iterable[_Sample], unit: str = "") -> list[str]:
    name = f"keyctl_report_{name}"
    lines = [f"# TYPE {name} gauge"]
    if unit:
        lines.append(f"# UNIT {name} {unit}")
    lines.append(f"# HELP {name} {help}")
    return lines + [f"{name}{{{_labels(labels)}}} {_number(value)}" for labels, value in samples]


def _labels(labels: Mapping[str, str]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def _escaped(text: str) -> str:
    """A label's value as the format writes it; what no UTF-8 holds is escaped as Python writes it."""
    held = text.encode("utf-8", "backslashreplace").decode()
    return held.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
