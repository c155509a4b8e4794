"""One reason to refuse a file: which rule, where, and in words that repeat nothing of the file that may be a key."""

from __future__ import annotations

from dataclasses import dataclass

from keyctl.documents import Span
from keyctl.findings import Rule


@dataclass(frozen=True, slots=True)
class Violation:
    """`line` and `column` are 1-based, None where no place is known; `hint` says what to do in this case."""

    rule: Rule
    message: str
    hint: str
    line: int | None = None
    column: int | None = None
    cause: str | None = None


def violation_at(rule: Rule, span: Span, path: str, message: str, hint: str | None = None) -> Violation:
    """The violation at `span`; `path` is the field as the server writes it, `hint` more exact than the rule's own."""
    return Violation(rule, f"{path}: {message}", hint or rule.fix, span.line, span.column)
