"""The examples for monitoring: alert rules under Prometheus' own rule tests, dashboard, units, manifests; the page."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from keyctl.cli import main
from keyctl.cluster_file.read import parse
from keyctl.exporter import catalogue
from keyctl.exporter.catalogue import FAMILIES, Kind, Source
from tests.support import generated
from tests.support.hints import wrong_commands
from tests.support.promtool import promtool
from tests.unit.test_audit_in_ci import unknown_fields
from tests.unit.test_systemd import commands, settings, verify

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "monitoring"
ALERTS, DASHBOARD = EXAMPLES / "alerts.yaml", EXAMPLES / "dashboard.json"
UNITS = sorted((EXAMPLES / "systemd").iterdir())
MANIFESTS = sorted((EXAMPLES / "kubernetes").iterdir())
RULE_TESTS = ROOT / "tests" / "promtool" / "alerts_test.yaml"
PAGE = ROOT / "docs" / "monitoring.md"
# What prometheus-client tells of any process, and a report in a file (`keyctl.reports.openmetrics`).
OTHERS = {
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "keyctl_report_timestamp_seconds",
    "keyctl_report_exit_code",
}
_METRIC = re.compile(r"\b(?:keyctl|process)_[a-z_]+\b")


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found = json.loads(DASHBOARD.read_text())["panels"]
    assert isinstance(found, list)
    return found


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    words = [str(promtool()), *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)


def test_prometheus_takes_the_rules() -> None:
    done = run("check", "rules", ALERTS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules())} rules found" in done.stdout


def test_every_alert_fires_when_it_must_and_none_on_a_healthy_cluster() -> None:
    done = run("test", "rules", RULE_TESTS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_rule_that_says_something_else_fails_the_rule_test(tmp_path: Path) -> None:
    changed = ALERTS.read_text().replace("keyctl_stored_plaintext_values > 0", "keyctl_stored_plaintext_values > 3")
    assert changed != ALERTS.read_text()
    (tmp_path / "alerts.yaml").write_text(changed)
    tests = RULE_TESTS.read_text().replace("../../examples/monitoring/alerts.yaml", "alerts.yaml")
    (tmp_path / "test.yaml").write_text(tests)
    done = run("test", "rules", tmp_path / "test.yaml")
    assert done.returncode != 0
    assert "KeyctlPlaintextStored" in done.stdout + done.stderr


def test_each_alert_has_a_rule_test_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    tests = yaml.safe_load(RULE_TESTS.read_text())["tests"]
    checks = [check for test in tests for check in test["alert_rule_test"]]
    names = {rule["alert"] for rule in rules()}
    assert {check["alertname"] for check in checks if check["exp_alerts"]} == names
    assert {check["alertname"] for check in checks if not check["exp_alerts"]} == names


def test_the_audit_finds_an_alert_on_everything_that_it_asks_for(capsys: pytest.CaptureFixture[str]) -> None:
    main.run(["audit", str(ALERTS), "--profile", "all", "-o", "json"])
    findings = json.loads(capsys.readouterr().out)["findings"]
    asked = [finding for finding in findings if finding["id"] == "KC-LOG-004"]
    assert len(asked) > 1
    # Whether there is a KMS plugin, and so need of an alert on its errors, nobody says here.
    assert [one["message"] for one in asked if one["status"] != "pass" and "KMS" not in one["message"]] == []


def test_an_alert_says_what_is_wrong_and_what_to_do_with_commands_that_there_are() -> None:
    for rule in rules():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"warning", "critical"}
        said = " ".join(rule["annotations"][name] for name in ("summary", "description"))
        assert wrong_commands(said) == [], rule["alert"]


def names_in(expression: str) -> set[str]:
    return set(_METRIC.findall(re.sub(r'"[^"]*"', "", expression)))


def test_every_metric_that_an_alert_the_dashboard_or_the_page_names_exists() -> None:
    known = {family.name for family in FAMILIES} | OTHERS
    assert {name for rule in rules() for name in names_in(rule["expr"])} <= known
    expressions = [target["expr"] for panel in panels() for target in panel.get("targets", ())]
    assert len(expressions) > 20
    assert {name for one in expressions for name in names_in(one)} <= known
    assert set(_METRIC.findall(PAGE.read_text())) <= known


def test_every_expression_of_the_dashboard_is_one_that_prometheus_takes(tmp_path: Path) -> None:
    expressions = [target["expr"] for panel in panels() for target in panel.get("targets", ())]
    found = [{"record": f"panel:{number}", "expr": one} for number, one in enumerate(expressions)]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": found}]}))
    done = run("check", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_source_and_what_is_wrong_can_be_alerted_on() -> None:
    used = {name for rule in rules() for name in names_in(rule["expr"])}
    sources = {family.source for family in FAMILIES if family.name in used}
    assert sources == {*Source, None}


def test_the_dashboard_is_laid_out_without_gaps_of_numbers_or_overlaps() -> None:
    taken: dict[tuple[int, int], int] = {}
    assert sorted(one["id"] for one in panels()) == list(range(1, len(panels()) + 1))
    for one in panels():
        at = one["gridPos"]
        assert at["x"] + at["w"] <= 24
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert taken.setdefault((x, y), one["id"]) == one["id"], one["title"]
        assert all(target["datasource"]["uid"] == "${datasource}" for target in one.get("targets", ()))


def test_the_names_of_metrics_follow_the_conventions_of_prometheus() -> None:
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
    for family in FAMILIES:
        assert re.fullmatch(r"keyctl_[a-z]+(_[a-z]+)*", family.name)
        assert (family.kind is Kind.COUNTER) == family.name.endswith("_total")
        assert family.help.endswith(".")
        assert all(re.fullmatch(r"[a-z]+", label) for label in family.labels)


def test_the_page_has_the_table_that_the_code_makes() -> None:
    assert catalogue.table() in PAGE.read_text()
    assert generated.MONITORING == PAGE


def test_systemd_has_nothing_to_say_against_the_units(tmp_path: Path) -> None:
    assert verify(tmp_path, {unit.name: unit.read_text() for unit in UNITS}) == (0, "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_every_command_line_is_one_that_keyctl_takes_and_none_changes_anything(unit: Path) -> None:
    found = commands(unit)
    assert [problem for words in found for problem in wrong_commands(" ".join(words))] == []
    assert {words[1] for words in found} <= READERS
    assert unit.name in PAGE.read_text()


READERS = {"exporter", "verify-secrets"}


def test_the_exporter_may_write_nothing_and_comes_back() -> None:
    service = settings(EXAMPLES / "systemd" / "keyctl-exporter.service")
    assert service["Service.ProtectSystem"] == ["strict"]
    assert "Service.ReadWritePaths" not in service
    assert service["Service.CapabilityBoundingSet"] == ["CAP_DAC_READ_SEARCH"]
    assert service["Service.Restart"] == ["always"]


def documents() -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in MANIFESTS:
        for document in yaml.safe_load_all(path.read_text()):
            yield path, document


KINDS = {
    "Deployment": "V1Deployment",
    "CronJob": "V1CronJob",
    "ServiceAccount": "V1ServiceAccount",
    "ClusterRole": "V1ClusterRole",
    "ClusterRoleBinding": "V1ClusterRoleBinding",
}


def test_the_manifests_have_the_fields_and_types_of_the_api() -> None:
    found = list(documents())
    assert {document["kind"] for _, document in found} == set(KINDS)
    for path, document in found:
        assert list(unknown_fields(document, KINDS[document["kind"]])) == [], path.name


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for _, document in documents():
        if document["kind"] in {"Deployment", "CronJob"}:
            spec = document["spec"]["jobTemplate"]["spec"] if document["kind"] == "CronJob" else document["spec"]
            yield document["kind"], spec["template"]["spec"]


@pytest.mark.parametrize(("kind", "pod"), [*pods()], ids=lambda one: one if isinstance(one, str) else "")
def test_a_pod_is_nobody_writes_nothing_and_changes_nothing(kind: str, pod: dict[str, Any]) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(pod)
    assert not [volume for volume in pod["volumes"] if "hostPath" in volume]
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert all(mount.get("readOnly") for mount in container["volumeMounts"] if mount["name"] != "tmp")
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    words = [*container["command"], *container["args"]]
    assert wrong_commands(" ".join(words)) == []
    assert container["args"][0] in READERS


def test_the_deployment_serves_nobody_without_a_certificate() -> None:
    (pod,) = [pod for kind, pod in pods() if kind == "Deployment"]
    flags = {word.partition("=")[0] for word in pod["containers"][0]["args"]}
    assert {"--tls-cert", "--tls-key", "--client-ca"} <= flags
    assert "--allow-unauthenticated" not in flags


def test_the_role_reads_no_secret_and_writes_nothing() -> None:
    (role,) = [document for _, document in documents() if document["kind"] == "ClusterRole"]
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {"get"}
    assert [rule["resources"] for rule in role["rules"] if "resources" in rule] == [["namespaces"]]


def test_the_page_shows_a_cluster_file_for_the_pod_that_can_be_read() -> None:
    (shown,) = re.findall(r"```yaml\n(apiVersion: keyctl/v1\n.*?)```", PAGE.read_text(), re.DOTALL)
    found = parse(shown.encode(), name="keyctl.yaml", directory=Path("/etc/keyctl"))
    assert all(server.host.read == ("false",) for server in found.api_servers if hasattr(server.host, "read"))
    assert [type(server.host).__name__ for server in found.api_servers] == ["CommandHostSettings"] * 3
