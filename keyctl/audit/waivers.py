"""Waivers: what need not be right for now, on whose word, why, and until when. Text → values; opens nothing.

waivers:
- id: KC-TLS-006
  owner: team-storage@example.com
  reason: the CA is replaced with the hosts in March
  expires: 2027-03-31
  files: [manifests/etcd.yaml]        # left out: wherever it is found
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from fnmatch import fnmatchcase
from typing import NoReturn

from keyctl import documents
from keyctl.audit.sources.text import Text
from keyctl.documents import Node, Scalar, Sequence, parse
from keyctl.errors import ExitCode, UnusableInputError
from keyctl.findings import Location

_REQUIRED = ("id", "owner", "reason", "expires")
_FIELDS = frozenset((*_REQUIRED, "files"))
# An excuse for longer is a decision, and belongs into the policy.
LONGEST = timedelta(days=366)
_HINT = "each waiver has id, owner, reason and expires (a date within a year); files if it is for some only"


class MalformedWaiverError(UnusableInputError):
    """A file of waivers that is not as it must be: nothing is excused by it."""

    exit_code = ExitCode.WAIVER


@dataclass(frozen=True, slots=True)
class Waiver:
    """One excuse for the check `id`; `files` are patterns, none for everywhere. It holds on the day `expires` too."""

    id: str
    owner: str
    reason: str
    expires: date
    files: tuple[str, ...]
    location: Location

    def is_expired(self, today: date) -> bool:
        """Whether it excuses nothing any more."""
        return today > self.expires

    def fits(self, id: str, file: str, names: Mapping[str, str]) -> bool:
        """Whether it is for a result of this check in `file`; `names` are what files are called from anywhere.

        A name that is told from where one stands says nothing: from elsewhere it is that of another file.
        """
        if id != self.id:
            return False
        called = {names.get(file, file)} | ({file} if file.startswith("/") else set())
        return not self.files or any(fnmatchcase(name, pattern) for name in called for pattern in self.files)


def read(content: bytes, *, name: str, today: date, known: Collection[str]) -> tuple[Waiver, ...]:
    """The waivers of the file `name`; `known` are the ids of all checks. Raises `MalformedWaiverError`."""
    try:
        root = parse(content, name=name).root
    except UnusableInputError as error:
        raise MalformedWaiverError(str(error), cause=error.cause, hint=error.hints) from error
    if len(Text(name, content).documents()) > 1:
        _refuse(name, root, "a second document in a file of waivers, which would not be read")
    given = {key.text: value for key, value in root.items} if isinstance(root, documents.Mapping) else {}
    found = given.get("waivers")
    if set(given) != {"waivers"} or not isinstance(found, Sequence):
        _refuse(name, root, "a file of waivers has one field, waivers, with a list")
    return tuple(_waiver(name, node, today, known) for node in found.items)


def _waiver(name: str, node: Node, today: date, known: Collection[str]) -> Waiver:
    if not isinstance(node, documents.Mapping):
        _refuse(name, node, "a waiver that is no mapping")
    given = {key.text: value for key, value in node.items}
    for field, value in given.items():
        if field not in _FIELDS:
            _refuse(name, value, "a field that a waiver does not have")
    texts = {field: _text(name, given.get(field, node), field) for field in _REQUIRED}
    if texts["id"] not in known:
        _refuse(name, given["id"], "a waiver for a check that there is not")
    expires = _date(name, given["expires"], texts["expires"])
    if expires - today > LONGEST:
        _refuse(name, given["expires"], "a waiver that lasts longer than a year")
    place = Location(name, node.items[0][0].span.line, node.items[0][0].span.column)
    return Waiver(texts["id"], texts["owner"], texts["reason"], expires, _files(name, given.get("files")), place)


def _text(name: str, node: Node, field: str) -> str:
    if not isinstance(node, Scalar) or not node.text.strip():
        _refuse(name, node, f"a waiver without {field}")
    return node.text.strip()


def _date(name: str, node: Node, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        _refuse(name, node, "a day that is not written as 2027-03-31")


def _files(name: str, node: Node | None) -> tuple[str, ...]:
    if node is None:
        return ()
    if not isinstance(node, Sequence) or not node.items:
        _refuse(name, node, "files that are no list")
    return tuple(_text(name, item, "a pattern in files") for item in node.items)


def _refuse(name: str, node: Node, message: str) -> NoReturn:
    raise MalformedWaiverError(f"{name}:{node.span.line}:{node.span.column}: {message}", hint=_HINT)
