"""An audit policy of kube-apiserver: its rules in their order."""

from __future__ import annotations

from collections.abc import Iterator

from keyctl.audit.facts import AuditPolicy, PolicyRule
from keyctl.audit.sources.text import Doc, Found, plain
from keyctl.documents import Node
from keyctl.hosts.pod import field_of, items_of


def read(doc: Doc) -> Iterator[Found]:
    """The policy, where the document is one."""
    if doc.is_kind("audit.k8s.io/", "Policy"):
        rules = tuple(_rule(doc, node) for node in items_of(field_of(doc.root, "rules")))
        yield AuditPolicy(doc.at(doc.root), rules)


def _rule(doc: Doc, node: Node) -> PolicyRule:
    groups = tuple(
        (plain(field_of(one, "group")), _texts(one, "resources"), bool(_texts(one, "resourceNames")))
        for one in items_of(field_of(node, "resources"))
    )
    narrowed = any(_texts(node, name) for name in ("users", "userGroups", "namespaces"))
    return PolicyRule(
        plain(field_of(node, "level")),
        _texts(node, "verbs"),
        narrowed or any(by_name for _, _, by_name in groups),
        tuple((group, resources) for group, resources, _ in groups),
        bool(_texts(node, "nonResourceURLs")),
        doc.at(node),
    )


def _texts(node: Node, name: str) -> tuple[str, ...]:
    return tuple(plain(item) for item in items_of(field_of(node, name)))
