from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyctl.errors import ExitCode
from keyctl.findings import Finding, Location, Report, Severity, Status
from keyctl.reports import junit
from tests.unit.reports import told
from tests.unit.reports.published import require_junit


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


@pytest.mark.parametrize("code", [ExitCode.UNEVALUATED, ExitCode.WAIVER])
def test_an_exit_code_that_no_failure_stands_for_is_an_error(code: ExitCode) -> None:
    unknown = Finding("KC-3", Severity.LOW, Status.UNKNOWN, "who knows", Location("a.yaml"))
    below = Finding("KC-1", Severity.LOW, Status.FAIL, "bad", counts=False)
    text = junit.render(Report("AuditReport", code, "not all was judged", (unknown, below)))
    require_junit(text)
    root = ElementTree.fromstring(text)  # noqa: S314 — our own output
    assert [root.get(name) for name in ("tests", "failures", "errors")] == ["3", "0", "1"]
    (error,) = root.iter("error")
    assert (error.get("message"), error.get("type")) == ("not all was judged", str(int(code)))


def test_what_is_right_or_fails_already_gets_no_error() -> None:
    right = Finding("KC-2", Severity.LOW, Status.PASS, "good")
    wrong = Finding("KC-1", Severity.HIGH, Status.FAIL, "bad")
    for report in (Report("X", ExitCode.OK, "well", (right,)), Report("X", ExitCode.FINDINGS, "ill", (right, wrong))):
        assert "<error" not in junit.render(report)
        assert 'errors="0"' in junit.render(report)


@given(st.text())
def test_any_text_makes_readable_xml(text: str) -> None:
    finding = Finding(text, Severity.HIGH, Status.FAIL, text, Location(etcd_key=text), fix=text)
    rendered = junit.render(Report("X", ExitCode.STALE, text, (finding,)))
    assert len(list(ElementTree.fromstring(rendered).iter("testcase"))) == 1  # noqa: S314 — our own output


@pytest.mark.parametrize("make", [told.of_every_status, told.hostile, told.report, lambda: told.many(500)])
def test_it_is_junit_as_jenkins_has_it(make: Callable[[], Report]) -> None:
    require_junit(junit.render(make()))


def test_what_is_found_in_a_file_is_in_the_suite_of_that_file_with_its_line() -> None:
    root = ElementTree.fromstring(junit.render(told.of_every_status()))  # noqa: S314 — our own output
    assert [(suite.get("name"), suite.get("file"), suite.get("tests")) for suite in root] == [
        ("AuditReport", None, "3"),
        ("AuditReport manifests/etcd.yaml", "manifests/etcd.yaml", "2"),
        ("AuditReport /etc/kubernetes/a b.yaml", "/etc/kubernetes/a b.yaml", "1"),
    ]
    assert [root.get(name) for name in ("tests", "failures", "errors")] == ["6", "1", "0"]
    (failure,) = root.iter("failure")
    assert failure.text == "manifests/etcd.yaml:7:3\nmend it"


def test_the_name_of_a_case_has_no_line_in_it() -> None:
    (case,) = ElementTree.fromstring(junit.render(told.report(told.one(Status.FAIL)))).iter("testcase")  # noqa: S314
    assert case.get("name") == "it is so: manifests/etcd.yaml"


def test_a_failure_that_does_not_count_is_skipped_and_says_so() -> None:
    counted = told.one(Status.FAIL)
    root = ElementTree.fromstring(junit.render(told.report(replace(counted, counts=False), counted)))  # noqa: S314
    assert [child.tag for case in root.iter("testcase") for child in case] == ["skipped", "failure"]
    (skipped,) = root.iter("skipped")
    assert skipped.get("message") == "critical, does not count: it is so"
    assert root.get("failures") == "1"
