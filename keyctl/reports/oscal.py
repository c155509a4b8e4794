"""A report as OSCAL assessment results.

An observation for each finding, a verdict for each check, a risk for each failure and each waiver, and which controls
of NIST SP 800-53 were looked at. Every identifier is made of the content (UUID version 5), so the same report is the
same document. A check is satisfied only where something of it passed and nothing of it failed, is unknown, waits for a
person or is waived.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from uuid import UUID, uuid5

from keyctl import __version__
from keyctl.findings import Evidence, Finding, Report, Status
from keyctl.reports import json as plain
from keyctl.reports.identity import fingerprints, uri
from keyctl.reports.marks import where
from keyctl.reports.printable import printable

VERSION = "1.1.3"
_ALL = UUID("6a1d0b5e-5d0c-5c39-9d2b-3b1c5f8e7a42")
_NS = "urn:keyctl:report"
_NIST = re.compile(r"nist-800-53/([A-Z]{2})-(\d+)(?:\((\d+)\))?")
_NO_TOKEN = re.compile(r"[^A-Za-z0-9._-]")
_METHODS = {Evidence.E0: "EXAMINE", Evidence.E1: "EXAMINE", Evidence.E2: "TEST", Evidence.E3: "TEST"}
_UNJUDGED = frozenset({Status.UNKNOWN, Status.MANUAL})
_WORST_FIRST = (Status.FAIL, Status.UNKNOWN, Status.MANUAL, Status.WAIVED, Status.PASS, Status.NOT_APPLICABLE)
_Object = dict[str, object]


@dataclass(frozen=True, slots=True)
class _Seen:
    """A finding with the identifiers of its observation and, where it has one, its risk."""

    finding: Finding
    observation: str
    risk: str


def render(report: Report) -> str:
    """The document, without a newline at its end. `ValueError` for a report that does not say when it was made."""
    if report.made is None:
        raise ValueError("OSCAL dates everything: the report must say when it was made")
    when = report.made.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    digest = hashlib.sha256(f"{when}\n{plain.render(report)}".encode()).hexdigest()
    document = uuid5(_ALL, digest)
    seen = [
        _Seen(one, str(uuid5(document, f"observation {mark}")), str(uuid5(document, f"risk {mark}")))
        for one, mark in zip(report.findings, fingerprints(report.findings), strict=True)
    ]
    by_check: dict[str, list[_Seen]] = {}
    for one in seen:
        by_check.setdefault(one.finding.id, []).append(one)
    plan, title = str(uuid5(document, "plan")), _line(f"keyctl {report.kind}")
    results: _Object = {
        "uuid": str(document),
        "metadata": {"title": title, "last-modified": when, "version": digest[:16], "oscal-version": VERSION},
        "import-ap": {"href": f"#{plan}"},
        **_objectives(by_check, report),
        "results": [_result(report, document, when, seen, by_check)],
        "back-matter": {"resources": [{"uuid": plan, "title": title, "description": _plan(report)}]},
    }
    return json.dumps({"assessment-results": results}, indent=1)


def _result(
    report: Report, document: UUID, when: str, seen: Sequence[_Seen], by_check: Mapping[str, Sequence[_Seen]]
) -> _Object:
    tool = str(uuid5(document, "tool"))
    origin: _Object = {"actors": [{"type": "tool", "actor-uuid": tool}]}
    found: _Object = {
        "uuid": str(uuid5(document, "result")),
        "title": _line(report.kind),
        "description": _line(report.verdict),
        "start": when,
        "end": when,
        "props": [_prop("exit-code", int(report.exit_code)), *_coverage(report)],
        "local-definitions": {"components": [_tool(tool)]},
        "reviewed-controls": _reviewed(report.findings),
    }
    risks = [_risk(one, origin) for one in seen if one.finding.status in (Status.FAIL, Status.WAIVED)]
    verdicts = [_verdict(document, id, of, report, origin) for id, of in by_check.items() if _status(of) in _JUDGEMENTS]
    lists = {"observations": [_observation(one, when, origin) for one in seen], "risks": risks, "findings": verdicts}
    return found | {name: items for name, items in lists.items() if items}


def _tool(uuid: str) -> _Object:
    return {
        "uuid": uuid,
        "type": "software",
        "title": "keyctl",
        "description": "what looked and judged",
        "props": [{"name": "version", "value": __version__}],
        "status": {"state": "operational"},
    }


def _plan(report: Report) -> str:
    profile = report.data.get("profile")
    return _line(f"the profile {profile} of keyctl audit" if isinstance(profile, str) else f"keyctl's {report.kind}")


def _coverage(report: Report) -> list[_Object]:
    coverage = report.data.get("coverage")
    if not isinstance(coverage, Mapping):
        return []
    return [_prop(f"checks-{name}", coverage[name]) for name in ("applicable", "evaluated") if name in coverage]


def _observation(seen: _Seen, when: str, origin: _Object) -> _Object:
    one = seen.finding
    told: _Object = {
        "uuid": seen.observation,
        "title": _line(one.id),
        "description": _line(one.message),
        "props": [
            _prop("check", one.id),
            _prop("status", one.status),
            _prop("severity", one.severity),
            _prop("evidence", one.evidence),
        ],
        "methods": ["UNKNOWN" if one.status in _UNJUDGED else _METHODS[one.evidence]],
        "types": ["finding"],
        "origins": [origin],
        "collected": when,
    }
    spot = where(one.location)
    if spot:
        evidence: _Object = {"description": _line(spot)}
        if one.location.file:
            evidence["href"] = uri(one.location.file)
        told["relevant-evidence"] = [evidence]
    return told


def _risk(seen: _Seen, origin: _Object) -> _Object:
    one = seen.finding
    is_waived = one.status is Status.WAIVED
    told: _Object = {
        "uuid": seen.risk,
        "title": _line(one.id),
        "description": _line(one.message),
        "statement": _line(one.excuse or one.message if is_waived else one.fix or one.message),
        "status": "deviation-approved" if is_waived else "open",
        "origins": [origin],
        "related-observations": [{"observation-uuid": seen.observation}],
    }
    facet = {"name": "severity", "system": _NS, "value": str(one.severity)}
    return told | {"characterizations": [{"origin": origin, "facets": [facet]}]}


# What OSCAL makes of a check by the worst of its findings; it has no word for a check that does not apply.
_JUDGEMENTS = {
    Status.FAIL: ("not-satisfied", "fail"),
    Status.UNKNOWN: ("not-satisfied", "other"),
    Status.MANUAL: ("not-satisfied", "other"),
    Status.WAIVED: ("not-satisfied", "other"),
    Status.PASS: ("satisfied", "pass"),
}


def _status(of: Sequence[_Seen]) -> Status:
    return min((one.finding.status for one in of), key=_WORST_FIRST.index)


def _verdict(document: UUID, id: str, of: Sequence[_Seen], report: Report, origin: _Object) -> _Object:
    state, reason = _JUDGEMENTS[_status(of)]
    rule = next((one for one in report.rules if one.id == id), None)
    risks = [one.risk for one in of if one.finding.status in (Status.FAIL, Status.WAIVED)]
    told: _Object = {
        "uuid": str(uuid5(document, printable(f"check {id}"))),
        "title": _line(id),
        "description": _line(rule.title if rule else of[0].finding.message),
        "props": [_prop("status", _status(of))],
        "origins": [origin],
        "target": {
            "type": "objective-id",
            "target-id": _token(id),
            "status": {"state": state, "reason": reason, "remarks": str(_status(of))},
        },
        "related-observations": [{"observation-uuid": one.observation} for one in of],
    }
    return told | ({"related-risks": [{"risk-uuid": one} for one in risks]} if risks else {})


def _objectives(by_check: Mapping[str, Sequence[_Seen]], report: Report) -> _Object:
    """The checks as objectives of the first control that asks for each, so that the verdicts have a target."""
    rules = {one.id: one for one in report.rules}
    told = []
    for id, of in by_check.items():
        controls = _controls([of[0].finding])
        if controls:
            prose = _line(f"not: {rules[id].title}" if id in rules else id)
            part = {"id": _token(id), "name": "objective", "prose": prose}
            told.append({"control-id": controls[0], "parts": [part]})
    return {"local-definitions": {"objectives-and-methods": told}} if told else {}


def _reviewed(findings: Iterable[Finding]) -> _Object:
    controls = sorted(set(_controls(one for one in findings if one.status is not Status.NOT_APPLICABLE)))
    if not controls:
        return {"control-selections": [{"description": "no control of NIST SP 800-53 asks for what was looked at"}]}
    return {"control-selections": [{"include-controls": [{"control-id": one} for one in controls]}]}


def _controls(findings: Iterable[Finding]) -> list[str]:
    """The controls by their ids in the OSCAL catalogue of SP 800-53: SC-28(1) is sc-28.1."""
    found = []
    for one in findings:
        for mapping in one.mappings:
            if match := _NIST.fullmatch(mapping):
                family, number, enhancement = match.groups()
                found.append(f"{family.lower()}-{number}" + (f".{enhancement}" if enhancement else ""))
    return found


def _prop(name: str, value: object) -> _Object:
    return {"name": name, "ns": _NS, "value": _line(str(value))}


def _line(text: str) -> str:
    """`text` as OSCAL takes a string: one line, not empty, no blanks around it."""
    return printable(text).strip() or "-"


def _token(text: str) -> str:
    token = _NO_TOKEN.sub("_", text)
    return token if token[:1].isalpha() else f"_{token}"
