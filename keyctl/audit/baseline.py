"""The failures of an earlier audit, which do not count again: what was known does not stop a build, what is new does.

A failure is known by its check, its file and its words, not by its line: lines move. The file goes by the name that it
has from wherever keyctl is called. Text → values; opens nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

from keyctl import documents
from keyctl.documents import Node, Scalar, Sequence, parse
from keyctl.errors import UnusableInputError
from keyctl.findings import Finding, Status

# Check, file, message; and how often: a second failure that reads like a known one is new.
Known = Mapping[tuple[str, str, str], int]
# The field of a report with the names of files from anywhere.
KNOWN_AS = "knownAs"
NOTHING: Known = MappingProxyType({})


def read(content: bytes, *, name: str) -> Known:
    """The failures of the report `name`, as -o json prints it. Raises `UnusableInputError` for anything else."""
    root = parse(content, name=name).root
    found = _field(root, "findings")
    if _text(_field(root, "kind")) != "AuditReport" or not isinstance(found, Sequence):
        raise UnusableInputError(f"{name} is no report of an audit", hint="keyctl audit . -o json prints one")
    names = _field(root, KNOWN_AS)
    told = {key.text: _text(value) for key, value in names.items} if isinstance(names, documents.Mapping) else {}
    failures = (one for one in found.items if _text(_field(one, "status")) == Status.FAIL)
    marks = ((_text(_field(one, "id")), _file_of(one), _text(_field(one, "message"))) for one in failures)
    return Counter((id, told.get(file, file), message) for id, file, message in marks)


def mark_of(finding: Finding, names: Mapping[str, str]) -> tuple[str, str, str]:
    """By what a failure is known again. `names` are what files are called from anywhere, where that is another name."""
    file = finding.location.file or ""
    return finding.id, names.get(file, file), finding.message


def _file_of(finding: Node) -> str:
    return _text(_field(_field(finding, "location"), "file"))


def _field(node: Node | None, name: str) -> Node | None:
    pairs = node.items if isinstance(node, documents.Mapping) else ()
    return next((value for key, value in pairs if key.text == name), None)


def _text(node: Node | None) -> str:
    return node.text if isinstance(node, Scalar) else ""
