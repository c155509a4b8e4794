from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from jsonschema import ValidationError

from keyctl.errors import ExitCode
from keyctl.findings import Evidence, Finding, Location, Report, Severity, Status
from keyctl.reports import oscal
from tests.unit.reports import told
from tests.unit.reports.published import require_oscal


def document(report: Report) -> dict[str, Any]:
    found = json.loads(oscal.render(report))["assessment-results"]
    assert isinstance(found, dict)
    return found


def result(report: Report) -> dict[str, Any]:
    (found,) = document(report)["results"]
    assert isinstance(found, dict)
    return found


def uuids(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["uuid"]] if "uuid" in node else []
        return own + [one for value in node.values() for one in uuids(value)]
    return [one for item in node for one in uuids(item)] if isinstance(node, list) else []


@pytest.mark.parametrize("make", [told.of_every_status, told.hostile, told.report, lambda: told.many(500)])
def test_it_is_oscal(make: Any) -> None:
    require_oscal(oscal.render(make()))


def test_the_schema_refuses_what_is_not_oscal() -> None:
    for broken in ('"uuid": "', '"oscal-version": "', '"collected": "'):
        with pytest.raises(ValidationError):
            require_oscal(oscal.render(told.of_every_status()).replace(broken, broken[:-1] + '" '))


def test_identifiers_are_made_of_the_content_each_once_and_every_reference_leads_somewhere() -> None:
    report = told.report(*(told.one(status) for status in Status for _ in range(3)))
    found = document(report)
    own = uuids(found)
    assert len(own) == len(set(own))
    assert {UUID(one).version for one in own} == {5}
    assert oscal.render(report) == oscal.render(replace(report))
    assert own[0] != document(replace(report, made=told.MADE + timedelta(seconds=1)))["uuid"]
    text = oscal.render(report)
    named = [
        part.split('"')[0] for name in ("observation", "risk", "actor") for part in text.split(f'"{name}-uuid": "')[1:]
    ]
    assert set(named) <= set(own)
    assert found["import-ap"]["href"] == f"#{found['back-matter']['resources'][0]['uuid']}"


@pytest.mark.parametrize(
    ("statuses", "state", "reason"),
    [
        ((Status.PASS, Status.NOT_APPLICABLE), "satisfied", "pass"),
        ((Status.PASS, Status.WAIVED), "not-satisfied", "other"),
        ((Status.PASS, Status.UNKNOWN), "not-satisfied", "other"),
        ((Status.PASS, Status.MANUAL), "not-satisfied", "other"),
        ((Status.UNKNOWN, Status.FAIL, Status.PASS), "not-satisfied", "fail"),
    ],
)
def test_a_check_is_satisfied_only_when_all_that_applies_passed(
    statuses: tuple[Status, ...], state: str, reason: str
) -> None:
    (verdict,) = result(told.report(*map(told.one, statuses)))["findings"]
    assert (verdict["target"]["status"]["state"], verdict["target"]["status"]["reason"]) == (state, reason)
    assert len(verdict["related-observations"]) == len(statuses)


def test_what_does_not_apply_is_observed_and_not_judged() -> None:
    found = result(told.report(told.one(Status.NOT_APPLICABLE)))
    assert len(found["observations"]) == 1
    assert "findings" not in found
    assert found["reviewed-controls"] == {
        "control-selections": [{"description": "no control of NIST SP 800-53 asks for what was looked at"}]
    }


def test_a_failure_is_an_open_risk_and_a_waiver_an_approved_deviation() -> None:
    found = result(told.of_every_status())
    assert [(one["title"], one["status"], one["statement"]) for one in found["risks"]] == [
        ("KC-ENC-001", "open", "mend it"),
        ("KC-VER-001", "deviation-approved", "waived until 2027-01-01 by team-x: later"),
    ]
    assert found["risks"][0]["characterizations"][0]["facets"][0]["value"] == "critical"


def test_reviewed_controls_have_the_ids_of_the_catalogue() -> None:
    controls = result(told.report(told.one(Status.PASS)))["reviewed-controls"]["control-selections"]
    assert controls == [{"include-controls": [{"control-id": "sc-12"}, {"control-id": "sc-28.1"}]}]


@pytest.mark.parametrize(
    ("evidence", "status", "method"),
    [
        (Evidence.E1, Status.PASS, "EXAMINE"),
        (Evidence.E3, Status.FAIL, "TEST"),
        (Evidence.E1, Status.UNKNOWN, "UNKNOWN"),
        (Evidence.E3, Status.MANUAL, "UNKNOWN"),
    ],
)
def test_an_observation_says_how_it_was_made_and_where(evidence: Evidence, status: Status, method: str) -> None:
    (seen,) = result(told.report(replace(told.one(status), evidence=evidence)))["observations"]
    assert seen["methods"] == [method]
    assert seen["collected"] == "2026-10-01T12:30:05Z"
    assert seen["relevant-evidence"] == [{"description": "manifests/etcd.yaml:7:3", "href": "manifests/etcd.yaml"}]


def test_a_report_that_does_not_say_when_it_was_made_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="when it was made"):
        oscal.render(Report("X", ExitCode.OK, "v"))


def test_reports_of_other_commands_are_oscal_too() -> None:
    finding = Finding("KC-DAT-001", Severity.HIGH, Status.FAIL, "plaintext", Location(etcd_key="/registry/x"))
    require_oscal(
        oscal.render(Report("VerifyReport", ExitCode.PLAINTEXT, "1 in plaintext", (finding,), made=told.MADE))
    )
