from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from keyctl.errors import ExitCode
from keyctl.findings import Finding, Location, Report, Severity, Status
from keyctl.reports import junit
from keyctl.reports.formats import FORMATS


def parse(report: Report) -> ElementTree.Element:
    suite = ElementTree.fromstring(junit.render(report)).find("testsuite")  # noqa: S314 — our own output
    assert suite is not None
    return suite


def test_each_finding_is_a_test_case() -> None:
    findings = (
        Finding("KC-1", Severity.HIGH, Status.FAIL, "bad", Location(etcd_key="/registry/x"), fix="mend it"),
        Finding("KC-2", Severity.LOW, Status.PASS, "good"),
        Finding("KC-3", Severity.LOW, Status.UNKNOWN, "who knows"),
        Finding("KC-4", Severity.LOW, Status.NOT_APPLICABLE, "no matter"),
    )
    suite = parse(Report("VerifyReport", ExitCode.PLAINTEXT, "not well", findings))
    counts = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "4", "failures": "1", "errors": "0", "skipped": "2"}
    cases = suite.findall("testcase")
    assert [(case.get("classname"), case.get("name"), [child.tag for child in case]) for case in cases] == [
        ("KC-1", "bad: /registry/x", ["failure"]),
        ("KC-2", "good", []),
        ("KC-3", "who knows", ["skipped"]),
        ("KC-4", "no matter", ["skipped"]),
    ]
    failure = cases[0][0]
    assert (failure.get("message"), failure.get("type"), failure.text) == ("bad", "high", "/registry/x\nmend it")
    assert [(one.get("name"), one.get("value")) for one in suite.iter("property")] == [
        ("exitCode", "13"),
        ("verdict", "not well"),
    ]


@given(st.text())
def test_any_text_makes_readable_xml(text: str) -> None:
    finding = Finding(text, Severity.HIGH, Status.FAIL, text, Location(etcd_key=text), fix=text)
    assert len(parse(Report("X", ExitCode.STALE, text, (finding,))).findall("testcase")) == 1


def test_the_formats_that_can_be_asked_for() -> None:
    report = Report("X", ExitCode.OK, "fine")
    assert {name: render(report)[:1] for name, render in FORMATS.items()} == {"json": "{", "junit": "<"}
