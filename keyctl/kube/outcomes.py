"""What the answer to one empty patch means (rule R15), and what of it may be told. Pure."""

from __future__ import annotations

import re

from keyctl.kube import fields
from keyctl.kube.answers import Answer, Status, describe, read_status, refusal
from keyctl.kube.interface import ObjectRef, Outcome, Patched, Refusal

_OK, _UNAUTHENTICATED, _FORBIDDEN, _NOT_FOUND, _NOT_ALLOWED = 200, 401, 403, 404, 405
_CONFLICT, _TOO_LARGE, _INVALID, _TOO_MANY, _SERVER_ERROR = 409, 413, 422, 429, 500

# Who refuses on the server's behalf chooses the status freely, so its words are looked at first. Group 1 is its name.
_SPOKEN = (
    (re.compile(r'admission webhook "([^"]*)" (?:denied|attempted|does not support)'), Refusal.WEBHOOK_DENIED),
    (re.compile(r'failed calling webhook "?([^":]*)'), Refusal.WEBHOOK_FAILED),
    (re.compile(r"conversion webhook for ([^ ,]*)"), Refusal.CONVERSION_FAILED),
    (re.compile(r"AdmissionPolicy '([^']*)'"), Refusal.POLICY_DENIED),
)
# Written by the API server itself or by etcd; each comes with one of several statuses.
_WORDS = (
    (re.compile(r"exceeded quota: ([^, ]*)"), Refusal.QUOTA),
    (re.compile(r"request is too large|larger than max|Request entity too large"), Refusal.TOO_LARGE),
    (re.compile(r"because it is being terminated"), Refusal.TERMINATING),
)
_TOO_LONG = "FieldValueTooLong"
_UNCHANGEABLE = re.compile(r"\bimmutable\b")


def judge(ref: ObjectRef, answer: Answer, url: str) -> Patched:
    """The outcome of one patch. Raises `UnreachableError` when the server does not accept our credentials."""
    if answer.status == _OK:
        return _sent(ref, answer)
    status = read_status(answer)
    told = _told(status)
    if told is None and answer.status == _UNAUTHENTICATED:
        raise refusal(url, "patch", ref.resource, answer)
    outcome, kind, by = told or _by_status(ref, answer.status, status)
    return Patched(ref, outcome, status=answer.status, message=_message(answer, status, kind), refusal=kind, by=by)


def _told(status: Status) -> tuple[Outcome, Refusal | None, str] | None:
    """What the words of the message say, whatever the status of the answer."""
    for pattern, kind in (*_SPOKEN, *_WORDS):
        found = pattern.search(status.message)
        if found:
            return Outcome.REFUSED, kind, found[1] if pattern.groups else ""
    return None


def _by_status(ref: ObjectRef, code: int, status: Status) -> tuple[Outcome, Refusal | None, str]:
    if code == _NOT_FOUND and status.name == ref.name:
        return Outcome.GONE, None, ""
    if code == _CONFLICT or (code == _INVALID and "metadata.uid" in status.wrong_fields):
        return Outcome.LOOK_AGAIN, Refusal.CONFLICT, ""
    if code == _TOO_MANY or code >= _SERVER_ERROR:
        return Outcome.SLOWER, Refusal.BUSY, ""
    if code == _INVALID:
        return Outcome.REFUSED, _invalid(status), ""
    if code == _FORBIDDEN:
        return Outcome.REFUSED, Refusal.FORBIDDEN, f"patch {ref.resource}"
    if code in (_NOT_FOUND, _NOT_ALLOWED):
        return Outcome.REFUSED, Refusal.NOT_SERVED, ref.resource
    return Outcome.REFUSED, Refusal.TOO_LARGE if code == _TOO_LARGE else Refusal.OTHER, ""


def _invalid(status: Status) -> Refusal:
    if _TOO_LONG in status.wrong_reasons:
        return Refusal.TOO_LARGE
    return Refusal.IMMUTABLE if _UNCHANGEABLE.search(status.message) else Refusal.INVALID


def _message(answer: Answer, status: Status, kind: Refusal | None) -> str:
    """What the server says; of an invalid object only the fields, for validation repeats their values (R14)."""
    if kind in (Refusal.INVALID, Refusal.IMMUTABLE, Refusal.TOO_LARGE) or "Invalid value" in status.message:
        wrong = zip(status.wrong_fields, status.wrong_reasons, strict=True)
        return f"HTTP {answer.status}: {kind}" + "".join(f", {name} {reason}".rstrip() for name, reason in wrong)
    level = f" (priority level {answer.priority_level})" if kind is Refusal.BUSY and answer.priority_level else ""
    return describe(answer) + level


def _sent(ref: ObjectRef, answer: Answer) -> Patched:
    version = fields.text(fields.parse(answer.body), "metadata", "resourceVersion")
    if not version.isdecimal():
        message = "the answer names no resourceVersion"
        return Patched(ref, Outcome.LOOK_AGAIN, status=answer.status, message=message, refusal=Refusal.OTHER)
    return Patched(ref, Outcome.SENT, int(version), answer.status)
