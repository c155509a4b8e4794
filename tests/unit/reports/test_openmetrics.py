from __future__ import annotations

import math

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as plain_families

from keyctl.errors import ExitCode
from keyctl.findings import Gauge, Report, Severity, Status
from keyctl.reports import openmetrics
from tests.unit.reports import told


def samples(report: Report) -> dict[str, dict[tuple[str, ...], float]]:
    """Metric → values of the labels that are not the report's own → value."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(openmetrics.render(report) + "\n"):
        assert family.type == "gauge"
        for one in family.samples:
            assert one.timestamp is None, "the node exporter takes no timestamps"
            own = tuple(value for name, value in sorted(one.labels.items()) if name not in ("report", "profile"))
            found.setdefault(one.name, {})[own] = one.value
    return found


def test_the_run_and_its_coverage() -> None:
    found = samples(told.of_every_status())
    assert found["keyctl_report_exit_code"] == {(): 20}
    assert found["keyctl_report_timestamp_seconds"] == {(): told.MADE.timestamp()}
    assert found["keyctl_report_checks_applicable"] == {(): 5}
    assert found["keyctl_report_checks_evaluated"] == {(): 4}
    assert found["keyctl_report_coverage_ratio"] == {(): 0.8}
    assert found["keyctl_report_findings"] == {(str(status),): 1 for status in Status}


def test_each_check_has_a_gauge_for_each_status() -> None:
    findings = (told.one(Status.FAIL), told.one(Status.FAIL, severity=Severity.LOW), told.one(Status.UNKNOWN))
    found = samples(told.report(*findings))["keyctl_report_check_findings"]
    assert found == {
        ("KC-ENC-001", "critical", str(status)): {Status.FAIL: 2, Status.UNKNOWN: 1}.get(status, 0) for status in Status
    }


def test_nothing_that_applies_is_no_coverage() -> None:
    report = Report("AuditReport", ExitCode.UNEVALUATED, "v", data={"coverage": {"applicable": 0, "evaluated": 0}})
    assert samples(report)["keyctl_report_coverage_ratio"] == {(): 0.0}


def test_a_measure_that_only_one_kind_of_report_has_carries_its_labels_and_unit() -> None:
    gauge = Gauge("backup_size_bytes", "How large.", (({"etcd": "main"}, 5.0), ({"etcd": "events"}, 7.0)), "bytes")
    found = samples(Report("X", ExitCode.OK, "v", gauges=(gauge, Gauge("nothing", "None.", ()))))
    assert found["keyctl_report_backup_size_bytes"] == {("main",): 5.0, ("events",): 7.0}
    assert "keyctl_report_nothing" not in found


def test_text_from_outside_stays_a_label() -> None:
    text = openmetrics.render(told.hostile())
    (family,) = (one for one in text_string_to_metric_families(text + "\n") if one.name == "keyctl_report_exit_code")
    assert family.samples[0].labels["profile"] == told.HOSTILE.encode("utf-8", "backslashreplace").decode()
    assert len(family.samples) == 1


@pytest.mark.parametrize("make", [told.of_every_status, lambda: Report("X", ExitCode.OK, "v")])
def test_it_ends_as_openmetrics_does_and_the_older_parser_reads_the_same(make: object) -> None:
    assert callable(make)
    text = openmetrics.render(make())
    assert text.endswith("\n# EOF")
    assert text.count("# EOF") == 1
    older = {one.name: [(s.labels, s.value) for s in one.samples] for one in plain_families(text + "\n")}
    newer = {
        one.name: [(s.labels, s.value) for s in one.samples] for one in text_string_to_metric_families(text + "\n")
    }
    assert older == newer
    assert all(math.isfinite(value) for found in newer.values() for _, value in found)


def test_ten_thousand_objects_are_not_ten_thousand_series() -> None:
    assert len(openmetrics.render(told.many(10_000)).splitlines()) < 200
