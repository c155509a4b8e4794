"""What an API server answered, and what of it may be shown.

A body may hold anything. Only `message`, `reason` and `details` of a Status are
ever shown, cut and escaped.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from keyctl.errors import UnreachableError
from keyctl.kube import fields

_SHOWN = 300
_UNAUTHENTICATED, _FORBIDDEN = 401, 403


class NoAnswerError(UnreachableError):
    """The transport failed: there is no answer, and a request may or may not have been carried out."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP answer. `date` is the server's clock; `retry_after` is in seconds, both None where not told.

    `priority_level` is the uid of the priority level that API priority and fairness put the request into.
    """

    status: int
    body: bytes = field(repr=False)
    date: str | None = None
    retry_after: float | None = None
    priority_level: str | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """A Kubernetes Status: `name` is the object it speaks of.

    `wrong_fields` are the paths that its causes name, `wrong_reasons` what is wrong with each, in one word.
    """

    message: str
    reason: str
    name: str
    wrong_fields: tuple[str, ...]
    wrong_reasons: tuple[str, ...]


def read_status(answer: Answer) -> Status:
    """The Status in `answer`; its fields are empty where the body is something else."""
    document = fields.parse(answer.body)
    if fields.text(document, "kind") != "Status":
        return Status("", "", "", (), ())
    causes = fields.items(document, "details", "causes")
    return Status(
        message=shown(fields.text(document, "message")),
        reason=shown(fields.text(document, "reason")),
        name=fields.text(document, "details", "name"),
        wrong_fields=tuple(shown(fields.text(cause, "field")) for cause in causes),
        wrong_reasons=tuple(shown(fields.text(cause, "reason")) for cause in causes),
    )


def shown(text: str) -> str:
    """`text` on one line of at most 300 characters, with control characters escaped."""
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:_SHOWN])
    return escaped if len(escaped) <= _SHOWN and len(text) <= _SHOWN else escaped[: _SHOWN - 1] + "…"


def describe(answer: Answer) -> str:
    """One line: the HTTP status and what the Status says, if it is one."""
    status = read_status(answer)
    said = status.message or status.reason
    return f"HTTP {answer.status}: {said}" if said else f"HTTP {answer.status}"


def refusal(url: str, verb: str, resource: str, answer: Answer) -> UnreachableError:
    """The error for an answer that was not asked for: its stage, and the verb and resource it was about."""
    if answer.status == _UNAUTHENTICATED:
        return UnreachableError(
            f"the API server at {url} does not accept our credentials",
            cause=f"authorisation: {describe(answer)} to {verb} {resource}",
            hint="check the user of the kubeconfig with: kubectl auth whoami",
        )
    if answer.status == _FORBIDDEN:
        return UnreachableError(
            f"you may not {verb} {resource} at {url}",
            cause=f"authorisation: {describe(answer)}",
            hint=f"check with: kubectl auth can-i {verb} {resource} --all-namespaces",
        )
    return UnreachableError(
        f"the API server at {url} did not {verb} {resource}", cause=describe(answer), hint="see the log of that server"
    )


def denied(answer: Answer) -> bool:
    """Whether this is a refusal of us, by authentication or authorisation."""
    return answer.status in (_UNAUTHENTICATED, _FORBIDDEN)
