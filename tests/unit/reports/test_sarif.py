from __future__ import annotations

import json
import random
import zlib
from typing import Any

import pytest

from keyctl.errors import ExitCode
from keyctl.findings import Finding, Location, Report, Rule, Severity, Status
from keyctl.reports import sarif
from tests.unit.reports import told
from tests.unit.reports.published import require_sarif

BOTH = (sarif.render, sarif.render_for_github)


def run_of(text: str) -> dict[str, Any]:
    (run,) = json.loads(text)["runs"]
    assert isinstance(run, dict)
    return run


@pytest.mark.parametrize("render", BOTH)
@pytest.mark.parametrize("make", [told.of_every_status, told.hostile, told.report, lambda: told.many(2000)])
def test_it_is_sarif(render: Any, make: Any) -> None:
    require_sarif(render(make()))


def test_each_status_has_its_kind_and_only_a_failure_a_level() -> None:
    results = run_of(sarif.render(told.of_every_status()))["results"]
    assert [(one["properties"]["status"], one["kind"], one["level"]) for one in results] == [
        ("fail", "fail", "error"),
        ("unknown", "open", "none"),
        ("manual", "review", "none"),
        ("waived", "fail", "error"),
        ("pass", "pass", "none"),
        ("not-applicable", "notApplicable", "none"),
    ]


def test_what_is_waived_is_suppressed_with_the_words_of_the_waiver() -> None:
    results = run_of(sarif.render(told.of_every_status()))["results"]
    assert [one["suppressions"] for one in results if one["suppressions"]] == [
        [{"kind": "external", "status": "accepted", "justification": "waived until 2027-01-01 by team-x: later"}]
    ]


def test_github_gets_what_fails_and_what_is_not_known_and_is_told_of_the_rest() -> None:
    run = run_of(sarif.render_for_github(told.of_every_status()))
    assert [(one["ruleId"], one["level"]) for one in run["results"]] == [
        ("KC-ENC-001", "error"),
        ("KC-TLS-001/unknown", "none"),
    ]
    assert [one["message"]["text"] for one in run["invocations"][0]["toolExecutionNotifications"]] == [
        "1 findings are unknown; these did not pass",
        "1 findings are manual; these did not pass",
        "1 findings are waived; these did not pass",
    ]
    scores = {rule["id"]: rule["properties"].get("security-severity") for rule in run["tool"]["driver"]["rules"]}
    assert scores == {"KC-ENC-001": "9.5", "KC-TLS-001/unknown": None}


def test_every_result_for_github_has_a_file_and_a_line_and_no_other_has_one_made_up() -> None:
    findings = [told.one(Status.FAIL, location=place) for place in (Location(), Location(endpoint="https://h:1"))]
    findings.append(told.one(Status.FAIL, location=Location("a b/ü.yaml")))
    places = [one["locations"] for one in run_of(sarif.render_for_github(told.report(*findings)))["results"]]
    physical = [one[0]["physicalLocation"] for one in places]
    assert [(one["artifactLocation"]["uri"], one["region"]) for one in physical] == [
        ("no-file/check/KC-ENC-001", {"startLine": 1}),
        ("no-file/endpoint/https%3A//h%3A1", {"startLine": 1}),
        ("a%20b/%C3%BC.yaml", {"startLine": 1}),
    ]
    plain = [one["locations"] for one in run_of(sarif.render(told.report(*findings)))["results"]]
    assert plain[0] == []
    assert plain[1] == [{"logicalLocations": [{"fullyQualifiedName": "https://h:1", "kind": "resource"}]}]
    assert "region" not in plain[2][0]["physicalLocation"]


def test_files_are_relative_to_the_working_directory_unless_they_are_absolute() -> None:
    findings = [
        told.one(Status.FAIL, location=Location(name, 3, 9)) for name in ("m/etcd.yaml", "/etc/kubernetes/x.yaml")
    ]
    run = run_of(sarif.render(told.report(*findings)))
    physical = [one["locations"][0]["physicalLocation"] for one in run["results"]]
    assert [one["artifactLocation"] for one in physical] == [
        {"uri": "m/etcd.yaml", "uriBaseId": "%SRCROOT%"},
        {"uri": "file:///etc/kubernetes/x.yaml"},
    ]
    assert physical[0]["region"] == {"startLine": 3, "startColumn": 9}
    assert "uri" not in run["originalUriBaseIds"]["%SRCROOT%"], "the machine's own path is nobody's business"


def test_a_rule_tells_what_it_means_and_who_asks_for_it() -> None:
    (rule,) = run_of(sarif.render(told.report(told.one(Status.FAIL))))["tool"]["driver"]["rules"]
    assert rule["shortDescription"]["text"] == "KC-ENC-001 is wrong"
    assert rule["fullDescription"]["text"] == "KC-ENC-001 is wrong. Why KC-ENC-001 matters."
    assert "What to do: mend KC-ENC-001." in rule["help"]["text"]
    assert "nist-800-53/SC-28(1)" in rule["help"]["text"]
    assert rule["defaultConfiguration"] == {"level": "error"}
    assert rule["properties"]["tags"][:2] == ["security", "ci-static/1.2.27"]


@pytest.mark.parametrize("severity", Severity)
def test_github_calls_a_rule_as_bad_as_it_is(severity: Severity) -> None:
    rules = (Rule("KC-X-001", severity, "t", "w", "f"),)
    report = Report("X", ExitCode.FINDINGS, "v", (told.one(Status.FAIL, "KC-X-001", severity),), rules=rules)
    (rule,) = run_of(sarif.render_for_github(report))["tool"]["driver"]["rules"]
    score = float(rule["properties"].get("security-severity", "0"))
    bands = {"critical": (9.0, 10.0), "high": (6.9, 8.9), "medium": (3.9, 6.9), "low": (0.0, 3.9)}
    low, high = bands.get(severity.value, (-1.0, 0.0))
    assert low < score <= high


def test_a_finding_without_a_rule_still_has_all_that_is_asked_for() -> None:
    report = Report("X", ExitCode.FINDINGS, "v", (told.one(Status.FAIL, "KC-NEW-001"),))
    (rule,) = run_of(sarif.render(report))["tool"]["driver"]["rules"]
    assert all(rule[name]["text"] for name in ("shortDescription", "fullDescription", "help"))


@pytest.mark.parametrize("code", ExitCode)
def test_the_run_says_how_it_ended_and_when(code: ExitCode) -> None:
    (invocation,) = run_of(sarif.render(told.report(code=code)))["invocations"]
    assert invocation["exitCode"] == code
    assert invocation["executionSuccessful"] == (code not in (1, 2, 4, 6, 130))
    assert invocation["endTimeUtc"] == "2026-10-01T12:30:05Z"


def test_profiles_on_one_commit_do_not_replace_each_other() -> None:
    assert run_of(sarif.render(told.report()))["automationDetails"]["id"] == "keyctl/AuditReport/ci-static/"


@pytest.mark.parametrize("render", BOTH)
def test_never_more_than_github_takes_the_worst_first_and_said(render: Any) -> None:
    text = render(told.many(sarif.MOST_RESULTS + 20_000))
    run = run_of(text)
    severities, statuses = tuple(Severity), ["fail", "unknown", "manual", "waived", "pass", "not-applicable"]
    order = [
        (statuses.index(one["properties"]["status"]), severities.index(one["properties"]["severity"]))
        for one in run["results"]
    ]
    assert len(order) <= sarif.MOST_RESULTS
    assert order == sorted(order)
    assert len(zlib.compress(text.encode())) <= sarif.LARGEST
    if render is sarif.render:
        assert len(order) == sarif.MOST_RESULTS
        assert run["properties"]["leftOut"] == 20_000
        assert "20000 results are left out" in run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"]


def test_a_file_that_is_too_large_is_cut_until_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(1)  # noqa: S311 — only to be incompressible
    findings = [told.one(Status.FAIL, message=chance.randbytes(200).hex()) for _ in range(400)]
    monkeypatch.setattr(sarif, "LARGEST", 60_000)
    text = sarif.render(told.report(*findings))
    left = run_of(text)["properties"]["leftOut"]
    assert len(zlib.compress(text.encode())) <= 60_000
    assert 0 < left < 400
    assert left + len(run_of(text)["results"]) == 400


def test_texts_and_tags_keep_within_what_github_stores() -> None:
    finding = Finding(
        "K" * 300, Severity.HIGH, Status.FAIL, "m" * 5000, mappings=tuple(f"frame/{number}" for number in range(40))
    )
    report = Report(
        "X",
        ExitCode.FINDINGS,
        "v",
        (finding,),
        rules=(Rule("K" * 300, Severity.HIGH, "t" * 2000, "w" * 2000, "f"),),
    )
    run = run_of(sarif.render(report))
    (rule,) = run["tool"]["driver"]["rules"]
    assert len(rule["id"]) <= sarif.LONGEST_ID
    assert run["results"][0]["ruleId"] == rule["id"]
    assert max(len(rule[name]["text"]) for name in ("shortDescription", "fullDescription")) <= sarif.LONGEST_TEXT
    assert len(run["results"][0]["message"]["text"]) <= sarif.LONGEST_TEXT
    assert len(rule["properties"]["tags"]) == sarif.MOST_TAGS
    assert len(rule["properties"]["mappings"]) == 40
