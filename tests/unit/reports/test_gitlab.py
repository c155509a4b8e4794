from __future__ import annotations

import json
from typing import Any

import pytest

from keyctl.findings import Location, Report, Severity, Status
from keyctl.reports import gitlab
from tests.unit.reports import told


def issues(report: Report) -> list[dict[str, Any]]:
    found = json.loads(gitlab.render(report))
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("make", [told.of_every_status, told.hostile])
def test_every_issue_has_what_gitlab_asks_for(make: Any) -> None:
    for one in issues(make()):
        assert all(isinstance(one[name], str) and one[name] for name in ("description", "check_name", "fingerprint"))
        assert one["severity"] in {"info", "minor", "major", "critical", "blocker"}
        assert isinstance(one["location"]["path"], str)
        assert one["location"]["lines"]["begin"] >= 1


def test_severities_have_gitlabs_words() -> None:
    found = issues(told.report(*(told.one(Status.FAIL, severity=severity) for severity in Severity)))
    assert [one["severity"] for one in found] == ["blocker", "critical", "major", "minor", "info"]


def test_what_is_not_known_is_information_and_says_what_it_is() -> None:
    found = issues(told.report(told.one(Status.UNKNOWN), told.one(Status.MANUAL), told.one(Status.PASS)))
    assert [(one["severity"], one["description"]) for one in found] == [
        ("info", "unknown: it is so"),
        ("info", "manual: it is so"),
    ]


def test_a_finding_in_no_file_has_a_path_that_stays_and_says_so() -> None:
    places = (
        Location("a.yaml", 4),
        Location("a.yaml"),
        Location(),
        Location(etcd_key="/registry/x"),
        Location(endpoint="h:1"),
    )
    found = issues(told.report(*(told.one(Status.FAIL, location=place) for place in places)))
    assert [(one["location"]["path"], one["location"]["lines"]["begin"]) for one in found] == [
        ("a.yaml", 4),
        ("a.yaml", 1),
        ("no-file/check/KC-ENC-001", 1),
        ("no-file/etcd/registry/x", 1),
        ("no-file/endpoint/h:1", 1),
    ]
    assert [one["description"] for one in found] == [
        "it is so. What to do: mend it",
        "it is so (the file as a whole). What to do: mend it",
        *["it is so (in no file). What to do: mend it"] * 3,
    ]


def test_nothing_to_mend_and_nothing_unknown_is_an_empty_list() -> None:
    assert gitlab.render(told.report(told.one(Status.PASS), told.one(Status.WAIVED))) == "[]"
