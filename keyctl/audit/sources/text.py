"""A text that facts may stand in, its documents, and where their lines are in the file that the reader has.

A text can stand inside another: in a ConfigMap, a Secret, a cloud-init file. Its lines are then those of the outer one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from keyctl.audit.alerts import AlertRule
from keyctl.audit.facts import Absent, AuditPolicy, Configuration, Program, Setting, Unread
from keyctl.audit.operated import ManagedPlane, OperatorEncryption
from keyctl.audit.sources.fragments import ServerFile
from keyctl.documents import Document, Kind, Mapping, Node, Scalar
from keyctl.findings import Finding, Location
from keyctl.hosts.pod import field_of

_MARKER = re.compile(rb"^(?:---(?=\s|$)|\.\.\.(?=\s|$))[^\n]*\n?", re.MULTILINE)
_ANY = re.compile(rb"^(?![#%]|\s*(?:#|$))", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Text:
    """Bytes called `name`. `before` lines of the file stand before them, or all of them are on `line`.

    `holder` is what they stand in, "" for a file of its own, and `inner` what they are called there: a key, or the path
    that they are written to; `depth` counts how often one text stands in another.
    """

    name: str
    content: bytes = field(repr=False)
    before: int = 0
    line: int | None = None
    holder: str = ""
    depth: int = 0
    inner: str = ""

    @property
    def path(self) -> str:
        """The path of it as a file: its own, or the one it is written to."""
        return self.inner or self.name

    def at(self, line: int | None, column: int | None = None) -> Location:
        """The place of a line of this text in the file."""
        if self.line is not None or line is None:
            return Location(self.name, self.line)
        return Location(self.name, line + self.before, None if self.holder else column)

    def moved(self, finding: Finding) -> Finding:
        """A finding about this text, with its place in the file."""
        return replace(finding, location=self.at(finding.location.line, finding.location.column))

    def documents(self) -> tuple[Text, ...]:
        """The texts of its YAML documents, comments before the first one included. A text without markers is one."""
        markers = list(_MARKER.finditer(self.content))
        # Comments and directives before the first marker belong to the document behind it.
        if markers and not _ANY.search(self.content, 0, markers[0].start()):
            markers = markers[1:]
        starts = [0, *(match.end() for match in markers)]
        ends = [*(match.start() for match in markers), len(self.content)]
        found, before, counted = [], self.before, 0
        for start, end in zip(starts, ends, strict=True):
            before += self.content.count(b"\n", counted, start)
            counted = start
            if self.content[start:end].strip():
                found.append(replace(self, content=self.content[start:end], before=before))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Doc:
    """One YAML or JSON document, and the text that it is."""

    text: Text
    document: Document

    @property
    def root(self) -> Node:
        """Its value."""
        return self.document.root

    def at(self, node: Node) -> Location:
        """Where a node is; a mapping in a list is shown by its first field."""
        span = node.items[0][0].span if isinstance(node, Mapping) and node.items else node.span
        return self.text.at(span.line, span.column)

    def is_kind(self, api: str, *kinds: str) -> bool:
        """Whether it says that it is of one of `kinds`, of an API version that starts with `api`."""
        version, kind = (plain(field_of(self.root, name)) for name in ("apiVersion", "kind"))
        return version.startswith(api) and kind in kinds

    def inside(self, node: Node, holder: str, content: bytes | None = None, *, inner: str = "") -> Text:
        """The text that stands in the scalar `node`; `content` where it is encoded there."""
        if not isinstance(node, Scalar):
            raise TypeError("only a scalar holds a text")
        depth = self.text.depth + 1
        block = content is None and "\n" in self.document.text[node.span.start : node.span.end]
        literal = block and self.document.text.startswith("|", node.span.start)
        line = self.at(node).line
        raw = node.text.encode() if content is None else content
        if literal and self.text.line is None:
            return Text(self.text.name, raw, before=line or 0, holder=holder, depth=depth, inner=inner)
        return Text(self.text.name, raw, line=line, holder=holder, depth=depth, inner=inner)


# What a source can find: facts, parts of one, and texts to look into.
_Operated = ManagedPlane | OperatorEncryption
Found = Program | Configuration | AuditPolicy | AlertRule | _Operated | Absent | Unread | ServerFile | Text
Source = Callable[[Doc], Iterator[Found]]


def plain(node: Node | None) -> str:
    """A scalar as it is written, number and boolean too; "" for anything else and for null."""
    return node.text if isinstance(node, Scalar) and node.kind is not Kind.NULL else ""


def path(node: Node | None, *names: str) -> Node | None:
    """The value of a field of a field; None where one of them is not there."""
    for name in names:
        node = field_of(node, name)
    return node


def fields(node: Node | None) -> tuple[tuple[Scalar, Node], ...]:
    """The fields of a mapping, none of anything else."""
    return node.items if isinstance(node, Mapping) else ()


def setting(doc: Doc, name: str, node: Node, written: str) -> Setting:
    """What a scalar says, as the setting `name`."""
    return Setting(name, plain(node), doc.at(node), written)
