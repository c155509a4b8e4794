"""What holds for every format: no status becomes another one, the same report is the same text, nothing in it acts."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from keyctl.errors import ExitCode
from keyctl.findings import Finding, Location, Report, Status
from keyctl.reports.formats import FORMATS
from tests.unit.reports import told

_NEITHER = "neither right nor wrong"


def of_json(text: str) -> list[str]:
    return [one["status"] for one in json.loads(text)["findings"]]


def of_junit(text: str) -> list[str]:
    words = {"failure": "fail", "skipped": _NEITHER, "system-out": "pass"}
    cases = [case for case in ElementTree.fromstring(text).iter("testcase") if case.find("error") is None]  # noqa: S314 — our own output
    return [words[case[0].tag] if len(case) else "pass" for case in cases]


def of_sarif(text: str) -> list[str]:
    words = {"fail": "fail", "pass": "pass"}
    return [
        "waived" if one["suppressions"] else words.get(one["kind"], _NEITHER)
        for one in json.loads(text)["runs"][0]["results"]
    ]


def of_gitlab(text: str) -> list[str]:
    return [_NEITHER if one["severity"] == "info" else "fail" for one in json.loads(text)]


def of_oscal(text: str) -> list[str]:
    words = {("satisfied", "pass"): "pass", ("not-satisfied", "fail"): "fail", ("not-satisfied", "other"): _NEITHER}
    found = json.loads(text)["assessment-results"]["results"][0].get("findings", [])
    return [words[one["target"]["status"]["state"], one["target"]["status"]["reason"]] for one in found]


def of_markdown(text: str) -> list[str]:
    words = {"Failed": "fail", "Not known": _NEITHER, "Waived": "waived"}
    return [words[title] for title in re.findall(r"^### (.*) \(\d+\)$", text, re.MULTILINE)]


def of_openmetrics(text: str) -> list[str]:
    return [
        sample.labels["status"]
        for family in text_string_to_metric_families(text + "\n")
        if family.name == "keyctl_report_check_findings"
        for sample in family.samples
        if sample.value
    ]


READ: dict[str, Callable[[str], list[str]]] = {
    "json": of_json,
    "junit": of_junit,
    "sarif": of_sarif,
    "sarif-github": of_sarif,
    "gitlab": of_gitlab,
    "oscal": of_oscal,
    "markdown": of_markdown,
    "openmetrics": of_openmetrics,
}
# Who lists nothing but what is wrong shows no more of a status than nothing at all; who has no word for it, this.
ABSENT: dict[Status, set[str]] = {
    Status.PASS: {"sarif-github", "gitlab", "markdown"},
    Status.MANUAL: {"sarif-github"},
    Status.WAIVED: {"sarif-github", "gitlab"},
    Status.NOT_APPLICABLE: {"sarif-github", "gitlab", "oscal", "markdown"},
}
UNNAMED: dict[Status, set[str]] = {
    Status.UNKNOWN: {"junit", "sarif", "sarif-github", "gitlab", "oscal", "markdown"},
    Status.MANUAL: {"junit", "sarif", "gitlab", "oscal", "markdown"},
    Status.WAIVED: {"junit", "oscal"},
    Status.NOT_APPLICABLE: {"junit", "sarif"},
}


def expected(name: str, status: Status) -> list[str]:
    if name in ABSENT.get(status, set()):
        return []
    return [_NEITHER if name in UNNAMED.get(status, set()) else str(status)]


def test_every_format_is_looked_at_here() -> None:
    assert set(FORMATS) - set(READ) <= {"html"}, "a page for people has tests of its own"


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("status", Status)
def test_a_status_stays_what_it_is_and_only_a_pass_shows_as_one(name: str, status: Status) -> None:
    shown = READ[name](FORMATS[name](told.report(told.one(status))))
    assert shown == expected(name, status)
    assert status is Status.PASS or "pass" not in shown
    assert status is Status.FAIL or "fail" not in shown


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("status", [Status.UNKNOWN, Status.FAIL])
def test_what_passes_beside_it_does_not_make_an_unknown_or_a_failure_right(name: str, status: Status) -> None:
    passes = [told.one(Status.PASS, message=f"object {number}") for number in range(3)]
    shown = READ[name](FORMATS[name](told.report(passes[0], told.one(status), *passes[1:])))
    assert (_NEITHER if status is Status.UNKNOWN and name not in ("json", "openmetrics") else str(status)) in shown


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "report", [told.of_every_status(), told.hostile(), told.report()], ids=["every", "bad", "none"]
)
def test_the_same_report_is_the_same_text_that_any_file_holds(name: str, report: Report) -> None:
    text = FORMATS[name](report)
    assert text == FORMATS[name](replace(report))
    text.encode()
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u202e\ud800-\udfff]", text) or name == "openmetrics"


@pytest.mark.parametrize("name", [name for name in READ if name != "markdown"])
def test_ten_thousand_findings_are_all_told(name: str) -> None:
    report = told.many(10_000)
    found = Counter(one.status for one in report.findings)
    shown = len(READ[name](FORMATS[name](report)))
    if name == "gitlab":
        assert shown == found[Status.FAIL] + found[Status.UNKNOWN] + found[Status.MANUAL]
    elif name == "sarif-github":
        assert shown == found[Status.FAIL] + found[Status.UNKNOWN]
    elif name == "oscal":
        assert shown == len({one.id for one in report.findings})
    elif name == "openmetrics":
        assert shown == len({(one.id, one.status) for one in report.findings})
    else:
        assert shown == 10_000


@pytest.mark.parametrize("name", ["junit", "sarif", "sarif-github", "gitlab"])
def test_a_finding_is_known_again_when_lines_and_numbers_move(name: str) -> None:
    def marks(line: int, days: int) -> list[str]:
        finding = replace(told.one(Status.FAIL, message=f"expires in {days} days"), location=Location("a.yaml", line))
        text = FORMATS[name](told.report(finding))
        if name == "junit":
            return [case.get("classname", "") for case in ElementTree.fromstring(text).iter("testcase")]  # noqa: S314
        return re.findall(r'"(?:primaryLocationLineHash|fingerprint)": "([^"]+)"', text)

    assert marks(3, 30) == marks(99, 7)
    assert len(marks(3, 30)) == 1


@pytest.mark.parametrize("name", ["sarif", "sarif-github", "gitlab"])
def test_no_two_findings_have_one_fingerprint(name: str) -> None:
    same: tuple[Finding, ...] = (told.one(Status.FAIL),) * 3
    other = told.one(Status.FAIL, message="something else")
    text = FORMATS[name](told.report(*same, other))
    marks = re.findall(r'"(?:primaryLocationLineHash|fingerprint)": "([^"]+)"', text)
    assert len(marks) == len(set(marks)) == 4


def test_the_exit_code_is_in_every_format_that_has_a_place_for_it() -> None:
    report = told.report(told.one(Status.UNKNOWN), code=ExitCode.UNEVALUATED)
    for name in set(READ) - {"gitlab"}:
        assert "21" in FORMATS[name](report), name
