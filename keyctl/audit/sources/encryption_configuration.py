"""An EncryptionConfiguration, wherever it stands: as kube-apiserver judges it, also where it cannot be parsed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from keyctl.audit.facts import About, Configuration, Unread
from keyctl.audit.sources.text import Doc, Found, Text, plain
from keyctl.encryption_config.judge import judge
from keyctl.encryption_config.server import NEWEST_SERVER
from keyctl.hosts.pod import field_of

_KIND = re.compile(
    rb"""^["']?kind["']?[ \t]*:[ \t]*["']?EncryptionConfig(?:uration)?["']?[ \t]*(?:#.*)?\r?$""", re.MULTILINE
)
_JSON_KIND = re.compile(rb"""\A\s*\{.*["']?kind["']?\s*:\s*["']?EncryptionConfig(?:uration)?\b""", re.DOTALL)
_KINDS = ("EncryptionConfiguration", "EncryptionConfig")
_SOPS = re.compile(rb"^sops:[ \t]*\r?$|\"sops\"[ \t]*:", re.MULTILINE)
_LATER = re.compile(rb"^[^#\n]*(?:\{\{|\{%|<%|\$\{)", re.MULTILINE)


def is_one(text: Text) -> bool:
    """Whether the text says that it is one, also where it is broken. For JSON, the word may stand anywhere in it."""
    return _KIND.search(text.content) is not None or _JSON_KIND.match(text.content) is not None


def is_parsed_one(doc: Doc) -> bool:
    """Whether the document is one, however it is written: indented, its kind in quotes or on a line of its own."""
    return plain(field_of(doc.root, "kind")) in _KINDS


def read(text: Text) -> Iterator[Found]:
    """The configuration of a text that is one."""
    place = text.at(1)
    if _SOPS.search(text.content):
        yield Unread("it is encrypted (sops)", frozenset({About.CONFIGURATION}), place)
        return
    judged = judge(text.content, name=text.name, server=NEWEST_SERVER)
    moved = replace(judged, findings=tuple(text.moved(one) for one in judged.findings))
    template = _LATER.search(text.content) is not None
    yield Configuration(place, moved, text.holder, template, text.before, text.line, inner=text.inner)
