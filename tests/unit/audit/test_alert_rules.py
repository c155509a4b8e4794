"""Alert rules, wherever they stand: each with its line; what cannot be read is not taken for having none."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyctl.audit.alerts import AlertRule
from keyctl.audit.collect import collect
from keyctl.audit.facts import About, Unread
from tests.unit.audit.given import TODAY, found_in

GROUPS = """\
groups:
- name: etcd
  rules:
  - alert: NoLeader
    expr: etcd_server_has_leader == 0
    annotations: {summary: "{{ $labels.instance }} has no leader"}
  - record: etcd:size
    expr: |
      max(etcd_mvcc_db_total_size_in_bytes)
  - expr: up
  - alert: without
"""


def below(*heads: str) -> str:
    """The groups below these fields, each deeper than the one before."""
    shown = "".join(f"{'  ' * depth}{head}:\n" for depth, head in enumerate(heads))
    return shown + "".join(f"{'  ' * len(heads)}{line}\n" for line in GROUPS.splitlines())


def rules(text: str) -> list[AlertRule]:
    return [one for one in found_in(text) if isinstance(one, AlertRule)]


OBJECT = "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\n"
VM_OBJECT = "apiVersion: operator.victoriametrics.com/v1beta1\nkind: VMRule\n"
IN_CONFIG_MAP = "kind: ConfigMap\napiVersion: v1\ndata:\n  a.rules: |\n" + "".join(
    f"    {line}\n" for line in GROUPS.splitlines()
)


@pytest.mark.parametrize(
    ("text", "before"),
    [
        pytest.param(GROUPS, 0, id="a rule file"),
        pytest.param(OBJECT + below("spec"), 3, id="an object"),
        pytest.param(VM_OBJECT + below("spec"), 3, id="a VMRule"),
        pytest.param(below("kube-prometheus-stack", "additionalPrometheusRulesMap", "mine"), 3, id="values of a chart"),
        pytest.param(IN_CONFIG_MAP, 4, id="a ConfigMap"),
    ],
)
def test_rules_are_read_with_their_lines(text: str, before: int) -> None:
    assert [(one.name, one.expression.strip(), one.records, one.location.line) for one in rules(text)] == [
        ("NoLeader", "etcd_server_has_leader == 0", False, before + 4),
        ("etcd:size", "max(etcd_mvcc_db_total_size_in_bytes)", True, before + 7),
    ]


@pytest.mark.parametrize(
    "text", ["groups: etcd", "groups:\n- etcd", "groups:\n- rules: 5", "groups:\n- rules:\n  - 5\n"]
)
def test_what_is_no_group_of_rules_has_none(text: str) -> None:
    assert rules(f"{text}\n# alert: x, expr: y\n") == []


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{{- range .Values.rules }}\n" + GROUPS + "{{- end }}\n", id="a template of a chart"),
        pytest.param(GROUPS + "# {{ if .Values.more }}\n", id="a condition"),
    ],
)
def test_rules_that_a_template_puts_in_later_are_not_known(text: str) -> None:
    assert {About.ALERT_RULE} in [one.about for one in found_in(text) if isinstance(one, Unread)]


def test_groups_that_lie_deeper_than_any_form_has_them_are_not_looked_for() -> None:
    assert len(rules(below(*"abcd"))) == 2
    assert rules(below(*"abcdefgh")) == []


def test_rule_files_are_found_by_their_suffixes(tmp_path: Path) -> None:
    for name in ("a.rules", "b.yml", "c.rules.yaml", "d.txt"):
        (tmp_path / name).write_text(GROUPS)
    found = {Path(str(one.location.file)).name for one in collect([tmp_path], today=TODAY).of(AlertRule)}
    assert found == {"a.rules", "b.yml", "c.rules.yaml"}
