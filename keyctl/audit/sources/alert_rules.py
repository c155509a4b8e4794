"""Rules of Prometheus: rule files, PrometheusRules, VMRules, and the values of charts that make such ones.

All of them hold `groups` of `rules` somewhere, and that is what is looked for.
"""

from __future__ import annotations

from collections.abc import Iterator

from keyctl.audit.alerts import AlertRule
from keyctl.audit.sources.text import Doc, Found, fields, plain
from keyctl.documents import Mapping, Node, Sequence
from keyctl.hosts.pod import field_of, items_of

# additionalPrometheusRulesMap of a chart below another chart's name: its groups are four deep.
_DEEPEST = 5


def read(doc: Doc) -> Iterator[Found]:
    """Every rule of every group in the document."""
    for group in _groups(doc.root, _DEEPEST):
        for rule in items_of(field_of(group, "rules")):
            yield from _rule(doc, rule)


def _groups(node: Node, deepest: int) -> Iterator[Node]:
    if not deepest:
        return
    if isinstance(node, Mapping):
        yield from (one for one in items_of(field_of(node, "groups")) if field_of(one, "rules") is not None)
        for name, value in fields(node):
            if name.text != "groups":
                yield from _groups(value, deepest - 1)
    elif isinstance(node, Sequence):
        for one in items_of(node):
            yield from _groups(one, deepest - 1)


def _rule(doc: Doc, rule: Node) -> Iterator[AlertRule]:
    expression = field_of(rule, "expr")
    alert, record = plain(field_of(rule, "alert")), plain(field_of(rule, "record"))
    if expression is not None and (alert or record):
        yield AlertRule(alert or record, plain(expression), not alert, doc.at(rule))
