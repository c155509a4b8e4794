"""A report as JUnit XML, one test case a finding, for CI systems that show such files.

As the schema of Jenkins' xUnit plugin has it, where files stand with suites: what is found in a file is in the suite
of that file, the rest in the first one. Names have no lines in them, so that a case keeps its history.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from keyctl.errors import ExitCode
from keyctl.findings import Finding, Report, Status
from keyctl.reports.identity import place
from keyctl.reports.marks import inert, where


def render(report: Report) -> str:
    """An XML document without a newline at its end.

    What fails and counts is a failure. What does not count, could not be found out
    or was not asked is skipped, which no CI system takes for a pass, but which
    stops no build either: where nothing fails and the exit code is not 0, one case
    more is an error. So a build that goes by this file comes out as one that goes
    by the exit code.
    """
    error = report.exit_code is not ExitCode.OK and not any(_fails(finding) for finding in report.findings)
    counts = _counts(report.findings, error=error)
    del counts["skipped"]
    root = ElementTree.Element("testsuites", {"name": "keyctl", **counts})
    elsewhere = [one for one in report.findings if not one.location.file]
    files = list(dict.fromkeys(one.location.file for one in report.findings if one.location.file))
    by_file: dict[str | None, list[Finding]] = {name: [] for name in files}
    for one in report.findings:
        if one.location.file:
            by_file[one.location.file].append(one)
    about = {"name": inert(report.kind), **_counts(elsewhere, error=error)}
    suite = ElementTree.SubElement(root, "testsuite", about)
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in (("exitCode", str(int(report.exit_code))), ("verdict", inert(report.verdict))):
        ElementTree.SubElement(properties, "property", {"name": name, "value": value})
    if error:
        case = ElementTree.SubElement(suite, "testcase", {"classname": inert(report.kind), "name": "exit code"})
        shown = {"message": inert(report.verdict), "type": str(int(report.exit_code))}
        ElementTree.SubElement(case, "error", shown)
    for one in elsewhere:
        _add_case(suite, one)
    for file in files:
        named = {"name": inert(f"{report.kind} {file}"), "file": inert(file), **_counts(by_file[file])}
        suite = ElementTree.SubElement(root, "testsuite", named)
        for one in by_file[file]:
            _add_case(suite, one)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode")


def _counts(findings: Sequence[Finding], *, error: bool = False) -> dict[str, str]:
    failed = sum(_fails(finding) for finding in findings)
    passed = sum(finding.status is Status.PASS for finding in findings)
    return {
        "tests": str(len(findings) + error),
        "failures": str(failed),
        "errors": str(int(error)),
        "skipped": str(len(findings) - failed - passed),
    }


def _add_case(suite: ElementTree.Element, finding: Finding) -> None:
    what = place(finding.location)
    name = f"{finding.message}: {what}" if what else finding.message
    case = ElementTree.SubElement(suite, "testcase", {"classname": inert(finding.id), "name": inert(name)})
    spot = where(finding.location) or ""
    if finding.status is Status.PASS:
        if finding.location.line:
            ElementTree.SubElement(case, "system-out").text = inert(spot)
        return
    if not _fails(finding):
        skipped = ElementTree.SubElement(case, "skipped", {"message": inert(f"{_word(finding)}: {finding.message}")})
        skipped.text = inert(spot) or None
        return
    shown = {"message": inert(finding.message), "type": str(finding.severity)}
    failure = ElementTree.SubElement(case, "failure", shown)
    failure.text = "\n".join(inert(part) for part in (spot, finding.fix) if part) or None


def _fails(finding: Finding) -> bool:
    return finding.status is Status.FAIL and finding.counts


def _word(finding: Finding) -> str:
    return f"{finding.severity}, does not count" if finding.status is Status.FAIL else str(finding.status)
