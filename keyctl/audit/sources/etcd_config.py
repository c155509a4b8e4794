"""etcd's own configuration file (--config-file): where there is one, etcd looks at no flag and no variable."""

from __future__ import annotations

from collections.abc import Iterator

from keyctl.audit.facts import About, Program, Setting
from keyctl.audit.sources.text import Doc, Found, fields, plain, setting
from keyctl.documents import Mapping, Scalar
from keyctl.hosts.pod import field_of, text_of

# Fields that nothing else but etcd has; one of them makes the file one of etcd's.
_TELLING = frozenset(
    {
        "advertise-client-urls",
        "client-transport-security",
        "initial-advertise-peer-urls",
        "initial-cluster-token",
        "listen-client-urls",
        "listen-peer-urls",
        "peer-transport-security",
    }
)
_PREFIX = {"client-transport-security": "", "peer-transport-security": "peer-"}
# etcd reads these inside the two sections only; beside them it passes over them.
_INSIDE = ("auto-tls", "cert-file", "client-cert-auth", "client-cert-file", "client-key-file", "key-file")
_PASSED_OVER = frozenset(
    f"{prefix}{name}"
    for prefix in _PREFIX.values()
    for name in (*_INSIDE, "trusted-ca-file", "skip-client-san-verification")
)


def read(doc: Doc) -> Iterator[Found]:
    """The etcd that is started with this file."""
    names = {key.text for key, _ in fields(doc.root)}
    if names & _TELLING and not names & {"apiVersion", "kind"}:
        yield Program(
            About.ETCD, text_of(field_of(doc.root, "name")) or "etcd", doc.at(doc.root), tuple(_settings(doc))
        )


def _settings(doc: Doc) -> Iterator[Setting]:
    for key, value in fields(doc.root):
        if isinstance(value, Mapping) and key.text in _PREFIX:
            for inner, leaf in value.items:
                if isinstance(leaf, Scalar):
                    yield setting(doc, _PREFIX[key.text] + inner.text, leaf, f"{key.text}.{inner.text}")
        elif isinstance(value, Scalar) and plain(value) and key.text not in _PASSED_OVER:
            yield setting(doc, key.text, value, key.text)
