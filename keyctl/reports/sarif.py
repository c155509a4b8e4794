"""A report as SARIF 2.1.0, whole for viewers and archives, or the part of it that GitHub code scanning shows rightly.

GitHub takes every result for an alert, whatever its kind and whoever suppressed it, and closes an alert whose result
is gone as fixed. So `render_for_github` has results for what fails, and, under rules of their own without a severity,
for what is not known; the rest it counts. Neither is ever larger than GitHub takes; what was left out is said.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC

from keyctl import __version__
from keyctl.errors import ExitCode
from keyctl.findings import Finding, Report, Rule, Severity, Status
from keyctl.reports.identity import fingerprints, path, uri
from keyctl.reports.printable import printable

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_ROOT = "%SRCROOT%"
# What GitHub refuses a file for, or cuts off.
MOST_RESULTS = 25_000
MOST_TAGS = 10
LONGEST_ID = 255
LONGEST_TEXT = 1024
LARGEST = 10_000_000

_KINDS = {
    Status.FAIL: "fail",
    Status.WAIVED: "fail",
    Status.UNKNOWN: "open",
    Status.MANUAL: "review",
    Status.PASS: "pass",
    Status.NOT_APPLICABLE: "notApplicable",
}
_LEVELS = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "note",
    Severity.INFO: "note",
}
# GitHub calls over 9.0 critical, from 7.0 high, from 4.0 medium, the rest low; what has none is no security alert.
_SCORES = {Severity.CRITICAL: "9.5", Severity.HIGH: "8.0", Severity.MEDIUM: "5.5", Severity.LOW: "3.0"}
_WORST_FIRST = (Status.FAIL, Status.UNKNOWN, Status.MANUAL, Status.WAIVED, Status.PASS, Status.NOT_APPLICABLE)
_ALERTS = frozenset({Status.FAIL, Status.UNKNOWN})
_BROKEN_OFF = frozenset({ExitCode.BUG, ExitCode.USAGE, ExitCode.UNREACHABLE, ExitCode.STOPPED, ExitCode.INTERRUPTED})


def render(report: Report) -> str:
    """Every finding as a result with its kind; what is waived is suppressed, with the waiver's words."""
    return _render(report, alerts=False)


def render_for_github(report: Report) -> str:
    """What fails and what is not known as results, the rest as numbers."""
    return _render(report, alerts=True)


def _render(report: Report, *, alerts: bool) -> str:
    """With `alerts` only what GitHub may show, and always with a place."""
    marked = [
        (one, mark)
        for one, mark in zip(report.findings, fingerprints(report.findings), strict=True)
        if not alerts or one.status in _ALERTS
    ]
    severities = tuple(Severity)
    marked.sort(key=lambda pair: (_WORST_FIRST.index(pair[0].status), severities.index(pair[0].severity)))
    most = min(len(marked), MOST_RESULTS)
    while True:
        text = json.dumps(_log(report, marked[:most], alerts, len(marked) - most), indent=1)
        if most == 0 or len(text) <= LARGEST or len(zlib.compress(text.encode())) <= LARGEST:
            return text
        most //= 2


def _log(report: Report, marked: Sequence[tuple[Finding, str]], alerts: bool, left_out: int) -> dict[str, object]:
    known = {rule.id: rule for rule in report.rules}
    ids = list(dict.fromkeys(_rule_id(one, alerts) for one, _ in marked))
    index = {id: number for number, id in enumerate(ids)}
    first = {_rule_id(one, alerts): one for one, _ in reversed(marked)}
    run: dict[str, object] = {
        "tool": {
            "driver": {
                "name": "keyctl",
                "version": __version__,
                "semanticVersion": __version__,
                "rules": [_rule(id, first[id], known.get(first[id].id), alerts) for id in ids],
            }
        },
        "automationDetails": {"id": _category(report)},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {_ROOT: {"description": {"text": "the working directory"}}},
        "invocations": [_invocation(report, alerts, left_out)],
        "results": [_result(one, mark, index, alerts) for one, mark in marked],
        "properties": _properties(report, left_out),
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _category(report: Report) -> str:
    """By what GitHub tells the runs of several commands and profiles on one commit apart."""
    profile = report.data.get("profile")
    return "/".join(("keyctl", printable(report.kind), *([printable(profile)] if isinstance(profile, str) else ()), ""))


def _rule_id(finding: Finding, alerts: bool) -> str:
    """What is not known stands under a rule of its own for GitHub, which has the severity with the rule."""
    unknown = alerts and finding.status is not Status.FAIL
    return printable(f"{finding.id}/unknown" if unknown else finding.id, LONGEST_ID)


def _rule(id: str, example: Finding, rule: Rule | None, alerts: bool) -> dict[str, object]:
    severity = rule.severity if rule else example.severity
    is_alert = not alerts or example.status is Status.FAIL
    title = rule.title if rule else f"what {example.id} found"
    if not is_alert:
        title = f"not known: whether {title}" if rule else f"not known: {example.id}"
    why = f"{title}. {rule.why}" if rule else title
    fix = rule.fix if rule else example.fix
    mappings = tuple(dict.fromkeys(example.mappings))
    lines = [
        why,
        *([f"What to do: {fix}."] if fix else []),
        *([f"Asked for by: {', '.join(mappings)}."] * bool(mappings)),
    ]
    properties: dict[str, object] = {
        "tags": list(dict.fromkeys(("security", *map(printable, mappings))))[:MOST_TAGS],
        "mappings": [printable(one) for one in mappings],
    }
    if is_alert and severity in _SCORES:
        properties["security-severity"] = _SCORES[severity]
    return {
        "id": id,
        "name": id,
        "shortDescription": {"text": printable(title, LONGEST_TEXT)},
        "fullDescription": {"text": printable(why, LONGEST_TEXT)},
        "help": {"text": "\n\n".join(printable(line) for line in lines)},
        "defaultConfiguration": {"level": _LEVELS[severity] if is_alert else "note"},
        "properties": properties,
    }


def _result(finding: Finding, mark: str, index: Mapping[str, int], alerts: bool) -> dict[str, object]:
    id = _rule_id(finding, alerts)
    is_fail = _KINDS[finding.status] == "fail"
    message = (
        finding.message if finding.status in (Status.FAIL, Status.WAIVED) else f"{finding.status}: {finding.message}"
    )
    if finding.fix and finding.status is Status.FAIL:
        message += f". What to do: {finding.fix}"
    return {
        "ruleId": id,
        "ruleIndex": index[id],
        "kind": _KINDS[finding.status],
        "level": _LEVELS[finding.severity] if is_fail else "none",
        "message": {"text": printable(message, LONGEST_TEXT)},
        "locations": _locations(finding, alerts),
        "partialFingerprints": {"primaryLocationLineHash": mark},
        "suppressions": [_suppression(finding)] if finding.status is Status.WAIVED else [],
        "properties": {
            "status": str(finding.status),
            "severity": str(finding.severity),
            "evidence": str(finding.evidence),
            "counts": finding.counts,
        },
    }


def _suppression(finding: Finding) -> dict[str, object]:
    justification = printable(finding.excuse or finding.message, LONGEST_TEXT)
    return {"kind": "external", "status": "accepted", "justification": justification}


def _locations(finding: Finding, alerts: bool) -> list[dict[str, object]]:
    where = finding.location
    found: dict[str, object] = {}
    if where.file or alerts:
        name = path(finding)
        artifact = {"uri": uri(name)} if name.startswith("/") else {"uri": uri(name), "uriBaseId": _ROOT}
        physical: dict[str, object] = {"artifactLocation": artifact}
        line = where.line or (1 if alerts else None)
        if line:
            physical["region"] = {"startLine": line} | ({"startColumn": where.column} if where.column else {})
        found["physicalLocation"] = physical
    logical = [
        {"fullyQualifiedName": printable(name, LONGEST_TEXT), "kind": "resource"}
        for name in dict.fromkeys((where.etcd_key, where.endpoint))
        if name
    ]
    if logical:
        found["logicalLocations"] = logical
    return [found] if found else []


def _invocation(report: Report, alerts: bool, left_out: int) -> dict[str, object]:
    told: list[dict[str, object]] = []
    if left_out:
        text = f"{left_out} results are left out, the least serious ones: GitHub takes no larger file"
        told.append({"level": "warning", "message": {"text": text}})
    if alerts:
        found = Counter(one.status for one in report.findings)
        for status in (Status.UNKNOWN, Status.MANUAL, Status.WAIVED):
            if found[status]:
                text = f"{found[status]} findings are {status}; these did not pass"
                told.append({"level": "warning" if status is Status.UNKNOWN else "note", "message": {"text": text}})
    invocation: dict[str, object] = {
        "executionSuccessful": report.exit_code not in _BROKEN_OFF,
        "exitCode": int(report.exit_code),
        "exitCodeDescription": report.verdict,
        "toolExecutionNotifications": told,
    }
    if report.made:
        invocation["endTimeUtc"] = report.made.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return invocation


def _properties(report: Report, left_out: int) -> dict[str, object]:
    found = Counter(one.status for one in report.findings)
    told: dict[str, object] = {
        "verdict": printable(report.verdict),
        "findings": {str(status): found[status] for status in Status},
        "leftOut": left_out,
    }
    return told | {name: report.data[name] for name in ("profile", "coverage") if name in report.data}
