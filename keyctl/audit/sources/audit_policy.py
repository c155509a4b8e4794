"""An audit policy of kube-apiserver: its rules in their order."""

from __future__ import annotations

from collections.abc import Iterator

from keyctl.audit.facts import AuditPolicy, PolicyRule
from keyctl.audit.sources.text import Doc, Found, plain
from keyctl.documents import Node
from keyctl.hosts.pod import field_of, items_of

# Whoever has logged in; who has not reads no Secret.
_EVERYBODY = "system:authenticated"


def read(doc: Doc) -> Iterator[Found]:
    """The policy, where the document is one."""
    if doc.is_kind("audit.k8s.io/", "Policy"):
        rules = tuple(rule for node in items_of(field_of(doc.root, "rules")) for rule in _rules(doc, node))
        yield AuditPolicy(doc.at(doc.root), rules, inner=doc.text.inner)


def _rules(doc: Doc, node: Node) -> Iterator[PolicyRule]:
    """The rule; in two of one level where some of its resources are for some names only and others for all."""
    groups = [
        (plain(field_of(one, "group")), _texts(one, "resources"), bool(_texts(one, "resourceNames")))
        for one in items_of(field_of(node, "resources"))
    ]
    everybody = _EVERYBODY in (_texts(node, "userGroups") or (_EVERYBODY,))
    narrowed = not everybody or any(_texts(node, name) for name in ("users", "namespaces"))
    for by_name in sorted({by_name for _, _, by_name in groups}) or [False]:
        yield PolicyRule(
            plain(field_of(node, "level")),
            _texts(node, "verbs"),
            narrowed or by_name,
            tuple((group, resources) for group, resources, named in groups if named is by_name),
            bool(_texts(node, "nonResourceURLs")),
            doc.at(node),
        )


def _texts(node: Node, name: str) -> tuple[str, ...]:
    return tuple(plain(item) for item in items_of(field_of(node, name)))
