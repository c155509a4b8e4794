"""Which resource names kube-apiserver takes in an EncryptionConfiguration, one by one. Pure; knows no list of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from keyctl.encryption_config import refusals, unread
from keyctl.encryption_config.effective import GroupResource
from keyctl.findings import Rule

_CAPITALS = re.compile("[A-Z]")
_NOT_REST = frozenset({"apiserveripinfo", "serviceipallocations", "servicenodeportallocations"})
_NOT_STORED = {
    "events.k8s.io": "write events: that is how both event groups are stored",
    "extensions": "write the group that has the resource today, such as ingresses.networking.k8s.io",
}


@dataclass(frozen=True, slots=True)
class NameProblem:
    """Why a name is not taken. `message` repeats nothing but names that are known here."""

    rule: Rule
    message: str
    hint: str


def problem_of(text: str) -> NameProblem | None:
    """Why kube-apiserver, or keyctl, does not take `text` as a resource; None when nothing speaks against it.

    In the order of the server's own checks, which tell one reason a name.
    """
    parsed = GroupResource.parse(text)
    if _CAPITALS.search(text):
        return _problem(refusals.CAPITALS, "capital letters in a resource name")
    if not text.isascii():
        return _problem(unread.LETTERS, "a resource name with letters beyond ASCII")
    if text == "*":
        return _problem(refusals.BARE_STAR, "a bare *", "write '*.' for the core group, '*.*' for everything")
    if text in _NOT_REST:
        return _problem(refusals.NOT_REST, f'"{text}" has no REST API')
    if parsed.group in _NOT_STORED:
        message = f"nothing is stored under the group {parsed.group}"
        return _problem(refusals.GROUP_WITHOUT_STORAGE, message, _NOT_STORED[parsed.group])
    if parsed.group == "*" and parsed.resource != "*":
        message = "one resource across all groups cannot be named"
        return _problem(refusals.STAR_GROUP, message, "name each group, or write '*.*' for everything")
    return None


def _problem(rule: Rule, message: str, hint: str | None = None) -> NameProblem:
    return NameProblem(rule, message, hint or rule.fix)
