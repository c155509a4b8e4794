"""What the answer to an empty patch means (R15), and what of an answer is shown."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyctl.errors import UnreachableError
from keyctl.kube.answers import Answer, describe, refusal, shown
from keyctl.kube.interface import ObjectRef, Outcome, Patched, Refusal
from keyctl.kube.outcomes import judge

_REF = ObjectRef("secrets", "ns", "db-pass", "uid-1")
_URL = "https://cp1:6443"


def _status(code: int, message: str, *, name: str = "db-pass", field: str = "") -> Answer:
    causes = [{"field": field}] if field else []
    document = {"kind": "Status", "message": message, "details": {"name": name, "causes": causes}}
    return Answer(code, json.dumps(document).encode())


def test_success_carries_the_new_resource_version() -> None:
    answer = Answer(200, b'{"metadata": {"resourceVersion": "812"}}')
    assert judge(_REF, answer, _URL) == Patched(_REF, Outcome.SENT, 812, 200)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"metadata": {"resourceVersion": "x"}}'])
def test_success_without_a_resource_version_is_looked_at_again(body: bytes) -> None:
    result = judge(_REF, Answer(200, body), _URL)
    assert (result.outcome, result.resource_version) == (Outcome.LOOK_AGAIN, None)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        pytest.param(_status(404, 'secrets "db-pass" not found'), Outcome.GONE, id="gone"),
        pytest.param(_status(404, "could not find the requested resource", name=""), Outcome.REFUSED, id="not served"),
        pytest.param(Answer(404, b"404 page not found\n"), Outcome.REFUSED, id="no such path"),
        pytest.param(_status(409, "the object has been modified"), Outcome.LOOK_AGAIN, id="conflict"),
        pytest.param(_status(422, "field is immutable", field="metadata.uid"), Outcome.LOOK_AGAIN, id="replaced"),
        pytest.param(_status(422, "is immutable", field="data"), Outcome.REFUSED, id="invalid"),
        pytest.param(_status(403, "User may not"), Outcome.REFUSED, id="forbidden"),
        pytest.param(_status(400, 'admission webhook "w.x" denied the request: no'), Outcome.REFUSED, id="webhook 400"),
        pytest.param(_status(403, 'admission webhook "w.x" denied the request: no'), Outcome.REFUSED, id="webhook 403"),
        pytest.param(_status(404, 'admission webhook "w.x" denied the request: no'), Outcome.REFUSED, id="webhook 404"),
        pytest.param(_status(409, 'admission webhook "w.x" denied the request: no'), Outcome.REFUSED, id="webhook 409"),
        pytest.param(_status(429, 'admission webhook "w.x" denied the request: no'), Outcome.REFUSED, id="webhook 429"),
        pytest.param(
            _status(500, 'Internal error occurred: failed calling webhook "w.x": refused'),
            Outcome.REFUSED,
            id="webhook down",
        ),
        pytest.param(_status(500, "conversion webhook for x/v1 failed"), Outcome.REFUSED, id="conversion webhook down"),
        pytest.param(_status(429, "slow down"), Outcome.SLOWER, id="too many"),
        pytest.param(_status(500, "Internal error occurred"), Outcome.SLOWER, id="server error"),
        pytest.param(Answer(503, b""), Outcome.SLOWER, id="unavailable"),
        pytest.param(Answer(301, b""), Outcome.REFUSED, id="redirect"),
    ],
)
def test_every_answer_has_its_outcome_and_says_why(answer: Answer, outcome: Outcome) -> None:
    result = judge(_REF, answer, _URL)
    assert (result.ref, result.outcome, result.resource_version) == (_REF, outcome, None)
    assert result.message.startswith(f"HTTP {answer.status}")
    assert (result.refusal is None) is (outcome is Outcome.GONE)


@pytest.mark.parametrize(
    ("code", "message", "refusal", "by"),
    [
        (403, 'admission webhook "w.x" denied the request: no', Refusal.WEBHOOK_DENIED, "w.x"),
        (400, 'admission webhook "w.x" does not support dry run', Refusal.WEBHOOK_DENIED, "w.x"),
        (401, 'admission webhook "w.x" denied the request: no', Refusal.WEBHOOK_DENIED, "w.x"),
        (500, 'Internal error occurred: failed calling webhook "w.x": dial', Refusal.WEBHOOK_FAILED, "w.x"),
        (500, "conversion webhook for x.test/v1, Kind=W failed: dial", Refusal.CONVERSION_FAILED, "x.test/v1"),
        (422, "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no", Refusal.POLICY_DENIED, "p"),
        (401, "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no", Refusal.POLICY_DENIED, "p"),
        (403, 'secrets "a" is forbidden: exceeded quota: small, requested: 1', Refusal.QUOTA, "small"),
        (403, "unable to create new content in namespace a because it is being terminated", Refusal.TERMINATING, ""),
        (500, "etcdserver: request is too large", Refusal.TOO_LARGE, ""),
        (413, "limit is 3145728", Refusal.TOO_LARGE, ""),
        (403, 'User "u" cannot patch resource', Refusal.FORBIDDEN, "patch secrets"),
        (405, "the server does not allow this method", Refusal.NOT_SERVED, "secrets"),
        (404, "the server could not find the requested resource", Refusal.NOT_SERVED, "secrets"),
        (409, "the object has been modified", Refusal.CONFLICT, ""),
        (429, "too many requests", Refusal.BUSY, ""),
        (503, "unavailable", Refusal.BUSY, ""),
        (418, "a teapot", Refusal.OTHER, ""),
    ],
)
def test_what_refuses_is_told_by_its_class_and_its_name(code: int, message: str, refusal: Refusal, by: str) -> None:
    result = judge(_REF, _status(code, message, name=""), _URL)
    assert (result.refusal, result.by) == (refusal, by)


@pytest.mark.parametrize(
    ("reason", "message", "refusal"),
    [
        ("FieldValueInvalid", "data.password: Invalid value: hunter2", Refusal.INVALID),
        ("FieldValueForbidden", "field is immutable when `immutable` is set, hunter2", Refusal.IMMUTABLE),
        ("FieldValueTooLong", "data: Too long: hunter2", Refusal.TOO_LARGE),
    ],
)
def test_an_invalid_object_is_told_by_its_fields_and_never_by_their_values(
    reason: str, message: str, refusal: Refusal
) -> None:
    cause = {"field": "data.password", "reason": reason, "message": message}
    document = {"kind": "Status", "message": message, "details": {"name": "db-pass", "causes": [cause]}}
    result = judge(_REF, Answer(422, json.dumps(document).encode()), _URL)
    assert result.refusal is refusal
    assert result.message == f"HTTP 422: {refusal}, data.password {reason}"
    assert "hunter2" not in repr(result)


def test_values_that_somebody_else_repeats_are_not_told_either() -> None:
    message = 'admission webhook "w.x" denied the request: spec.password: Invalid value: "hunter2"'
    result = judge(_REF, _status(403, message), _URL)
    assert (result.refusal, result.by) == (Refusal.WEBHOOK_DENIED, "w.x")
    assert "hunter2" not in repr(result)


def test_the_priority_level_that_held_a_request_back_is_named() -> None:
    answer = Answer(429, b"", priority_level="2f6d")
    assert judge(_REF, answer, _URL).message == "HTTP 429 (priority level 2f6d)"


def test_refused_credentials_end_everything() -> None:
    with pytest.raises(UnreachableError) as caught:
        judge(_REF, _status(401, "Unauthorized"), _URL)
    assert _URL in str(caught.value)
    assert caught.value.cause == "authorisation: HTTP 401: Unauthorized to patch secrets"


def test_a_forbidden_request_names_verb_and_resource() -> None:
    error = refusal(_URL, "list", "secrets", _status(403, 'User "alice" cannot list'))
    assert str(error) == f"you may not list secrets at {_URL}"
    assert error.cause == 'authorisation: HTTP 403: User "alice" cannot list'
    assert error.hints == ("check with: kubectl auth can-i list secrets --all-namespaces",)


def test_only_a_status_is_shown_never_another_body() -> None:
    secret = json.dumps({"kind": "Secret", "message": "hunter2", "data": {"a": "aHVudGVyMg=="}}).encode()
    assert describe(Answer(500, secret)) == "HTTP 500"
    assert describe(Answer(500, b"hunter2")) == "HTTP 500"
    assert "hunter2" not in repr(Answer(500, b"hunter2"))


@given(st.text())
def test_what_is_shown_is_short_and_printable(text: str) -> None:
    line = shown(text)
    assert len(line) <= 300
    assert line.isprintable()


def test_short_printable_text_is_shown_as_it_is_and_escapes_are_escaped() -> None:
    assert shown("denied: label owner missing") == "denied: label owner missing"
    assert shown("a\x1b[2Jb\nc") == "a\\x1b[2Jb\\nc"
    assert shown("x" * 301) == "x" * 299 + "…"
