"""What the answer to one empty patch means (rule R15). Pure."""

from __future__ import annotations

import re

from keyctl.kube import fields
from keyctl.kube.answers import Answer, Status, describe, read_status, refusal
from keyctl.kube.interface import ObjectRef, Outcome, Patched

_OK, _UNAUTHENTICATED, _NOT_FOUND, _CONFLICT, _INVALID, _TOO_MANY, _SERVER_ERROR = 200, 401, 404, 409, 422, 429, 500

# A webhook chooses the status of its denial freely, so its words are looked at first.
_WEBHOOK = re.compile(r'admission webhook ".*" (denied|attempted)|failed calling webhook |conversion webhook for ')


def judge(ref: ObjectRef, answer: Answer, url: str) -> Patched:
    """The outcome of one patch. Raises `UnreachableError` when the server does not accept our credentials."""
    if answer.status == _OK:
        return _sent(ref, answer)
    if answer.status == _UNAUTHENTICATED:
        raise refusal(url, "patch", ref.resource, answer)
    status = read_status(answer)
    return Patched(ref, _outcome(ref, answer.status, status), status=answer.status, message=describe(answer))


def _outcome(ref: ObjectRef, code: int, status: Status) -> Outcome:
    if _WEBHOOK.search(status.message):
        return Outcome.REFUSED
    if code == _NOT_FOUND and status.name == ref.name:
        return Outcome.GONE
    if code == _CONFLICT or (code == _INVALID and "metadata.uid" in status.wrong_fields):
        return Outcome.LOOK_AGAIN
    if code == _TOO_MANY or code >= _SERVER_ERROR:
        return Outcome.SLOWER
    return Outcome.REFUSED


def _sent(ref: ObjectRef, answer: Answer) -> Patched:
    version = fields.text(fields.parse(answer.body), "metadata", "resourceVersion")
    if not version.isdecimal():
        return Patched(ref, Outcome.LOOK_AGAIN, status=answer.status, message="the answer names no resourceVersion")
    return Patched(ref, Outcome.SENT, int(version), answer.status)
