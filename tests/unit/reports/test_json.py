from __future__ import annotations

import json

from keyctl.errors import ExitCode
from keyctl.findings import Evidence, Finding, Location, Report, Severity, Status
from keyctl.reports import json as json_report


def test_every_report_has_the_common_fields_and_its_own() -> None:
    finding = Finding(
        "KC-1",
        Severity.HIGH,
        Status.FAIL,
        "bad",
        Location(file="enc.yaml", line=3, column=5),
        Evidence.E1,
        fix="mend it",
        mappings=("CIS 1.2.27",),
    )
    report = Report("ConfigReport", ExitCode.UNUSABLE, "bad", (finding,), {"accepted": False})
    assert json.loads(json_report.render(report)) == {
        "apiVersion": "keyctl/v1",
        "kind": "ConfigReport",
        "exitCode": 3,
        "findings": [
            {
                "id": "KC-1",
                "severity": "high",
                "status": "fail",
                "message": "bad",
                "location": {"file": "enc.yaml", "line": 3, "column": 5},
                "evidence": {"level": "E1"},
                "fix": "mend it",
                "mappings": ["CIS 1.2.27"],
            }
        ],
        "accepted": False,
    }


def test_an_endpoint_and_an_etcd_key_are_locations() -> None:
    findings = (
        Finding("KC-1", Severity.LOW, Status.PASS, "a", Location(endpoint="https://x:1")),
        Finding("KC-2", Severity.LOW, Status.PASS, "b", Location(etcd_key="/k")),
        Finding("KC-3", Severity.LOW, Status.PASS, "c"),
    )
    document = json.loads(json_report.render(Report("X", ExitCode.OK, "fine", findings)))
    assert [one["location"] for one in document["findings"]] == [{"endpoint": "https://x:1"}, {"etcdKey": "/k"}, {}]


def test_the_text_is_ascii_without_control_characters() -> None:
    rendered = json_report.render(Report("X", ExitCode.OK, "fine", data={"name": "ö\x1b\u202e"}))
    assert rendered.isascii()
    assert "\x1b" not in rendered
    assert json.loads(rendered)["name"] == "ö\x1b\u202e"
