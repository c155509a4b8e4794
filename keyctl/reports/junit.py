"""A report as JUnit XML, one test case a finding, for CI systems that show such files."""

from __future__ import annotations

from xml.etree import ElementTree

from keyctl.findings import Finding, Report, Status


def render(report: Report) -> str:
    """An XML document without a newline at its end.

    What fails is a failure; what could not be found out, or was not asked, is
    skipped, which no CI system takes for a pass.
    """
    failed = sum(finding.status is Status.FAIL for finding in report.findings)
    passed = sum(finding.status is Status.PASS for finding in report.findings)
    counts = {
        "tests": str(len(report.findings)),
        "failures": str(failed),
        "errors": "0",
        "skipped": str(len(report.findings) - failed - passed),
    }
    root = ElementTree.Element("testsuites", {"name": "keyctl", **counts})
    suite = ElementTree.SubElement(root, "testsuite", {"name": _clean(report.kind), **counts})
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in (("exitCode", str(int(report.exit_code))), ("verdict", _clean(report.verdict))):
        ElementTree.SubElement(properties, "property", {"name": name, "value": value})
    for finding in report.findings:
        _add_case(suite, finding)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode")


def _add_case(suite: ElementTree.Element, finding: Finding) -> None:
    where = finding.location.etcd_key or finding.location.file or finding.location.endpoint
    name = finding.message if where is None else f"{finding.message}: {where}"
    case = ElementTree.SubElement(suite, "testcase", {"classname": _clean(finding.id), "name": _clean(name)})
    if finding.status is Status.PASS:
        return
    shown = {"message": _clean(finding.message)}
    if finding.status is not Status.FAIL:
        ElementTree.SubElement(case, "skipped", shown | {"message": _clean(f"{finding.status}: {finding.message}")})
        return
    failure = ElementTree.SubElement(case, "failure", shown | {"type": str(finding.severity)})
    failure.text = _clean("\n".join(part for part in (where, finding.fix) if part)) or None


def _clean(text: str) -> str:
    """`text` without what XML 1.0 cannot hold, escaped or not."""
    return "".join(character if _is_xml(ord(character)) else "�" for character in text)


def _is_xml(code: int) -> bool:
    return code in (0x9, 0xA, 0xD) or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or code >= 0x10000
