"""A report as JSON, by the contract `keyctl/v1`: fields are added, never renamed or removed."""

from __future__ import annotations

import json

from keyctl.findings import Finding, Location, Report

API_VERSION = "keyctl/v1"


def render(report: Report) -> str:
    """One JSON object, indented, in ASCII, without a newline at its end."""
    document = {
        "apiVersion": API_VERSION,
        "kind": report.kind,
        "exitCode": int(report.exit_code),
        "findings": [_finding(finding) for finding in report.findings],
        **report.data,
    }
    return json.dumps(document, indent=2)


def _finding(finding: Finding) -> dict[str, object]:
    shown: dict[str, object] = {
        "id": finding.id,
        "severity": str(finding.severity),
        "status": str(finding.status),
        "message": finding.message,
        "location": _location(finding.location),
        "evidence": {"level": str(finding.evidence)},
    }
    if finding.fix is not None:
        shown["fix"] = finding.fix
    if not finding.counts:
        shown["counts"] = False
    return shown | {"mappings": list(finding.mappings)}


def _location(location: Location) -> dict[str, object]:
    parts = {
        "file": location.file,
        "line": location.line,
        "column": location.column,
        "etcdKey": location.etcd_key,
        "endpoint": location.endpoint,
    }
    return {name: part for name, part in parts.items() if part is not None}
