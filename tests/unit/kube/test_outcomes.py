"""What the answer to an empty patch means (R15), and what of an answer is shown."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyctl.errors import UnreachableError
from keyctl.kube.answers import Answer, describe, refusal, shown
from keyctl.kube.interface import ObjectRef, Outcome, Patched
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
