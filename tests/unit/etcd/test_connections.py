from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyctl.errors import StoppedError, UnreachableError, UnusableInputError, WrongUsageError
from keyctl.etcd.connections import Connections, Endpoint
from keyctl.etcd.rpc import CallError, Session
from tests.support.hints import wrong_hints
from tests.support.scripted_etcd import Answer, Pair, ScriptedEtcd, ScriptedSession, install

DOWN = CallError("UNAVAILABLE", "failed to connect to all addresses")
FOUND = Answer([Pair(b"/a", b"1")], count=1)


@pytest.fixture
def scripted(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> ScriptedEtcd:
    return install(tmp_path_factory.mktemp("tls"), monkeypatch)


def question(session: Session) -> bytes:
    return session.range(b"/a").kvs[0].value


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://etcd1:2380", "etcd1", 2380),
        ("https://10.0.0.1", "10.0.0.1", 2379),
        ("https://[fd00::1]:4001/", "[fd00::1]", 4001),
    ],
)
def test_an_https_endpoint_is_taken_apart(url: str, host: str, port: int) -> None:
    endpoint = Endpoint.parse(url)
    assert (endpoint.url, endpoint.host, endpoint.port) == (url, host, port)


@pytest.mark.parametrize("url", ["http://etcd1:2379", "etcd1:2379", "10.0.0.1", "unix:///run/etcd", "HTTPS://x:1", ""])
def test_an_endpoint_without_tls_is_refused(url: str) -> None:
    with pytest.raises(WrongUsageError, match="is not https"):
        Endpoint.parse(url)


@pytest.mark.parametrize(
    "url", ["https://", "https://fd00::1:2379", "https://e:0", "https://e:99999", "https://u@e:1", "https://e:1/path"]
)
def test_an_endpoint_that_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(WrongUsageError, match="no etcd endpoint"):
        Endpoint.parse(url)


@given(st.text(max_size=40).filter(lambda text: not text.startswith("https://")))
def test_nothing_but_https_is_an_endpoint(text: str) -> None:
    with pytest.raises(WrongUsageError):
        Endpoint.parse(text)


@pytest.mark.parametrize(
    ("endpoints", "user", "password", "timeout", "words"),
    [
        ((), None, None, 1.0, "no etcd endpoint is given"),
        (("https://e:1",), "root", None, 1.0, "needs a password"),
        (("https://e:1",), None, "p", 1.0, "a password a user"),
        (("https://e:1",), None, None, 0.0, "more than 0 s"),
    ],
)
def test_settings_that_do_not_go_together_are_wrong_usage(
    scripted: ScriptedEtcd,
    endpoints: tuple[str, ...],
    user: str | None,
    password: str | None,
    timeout: float,
    words: str,
) -> None:
    with pytest.raises(WrongUsageError, match=words):
        Connections(endpoints, scripted.tls, timeout=timeout, user=user, password=password)


def test_the_next_endpoint_is_asked_when_one_does_not_answer(scripted: ScriptedEtcd) -> None:
    connections = scripted.connect(ScriptedSession([DOWN]), ScriptedSession([FOUND]), ScriptedSession())
    endpoint, value = connections.ask_any(question)
    assert (endpoint.url, value) == ("https://etcd2:2379", b"1")
    assert [opened["host"] for opened in scripted.opened] == ["etcd1", "etcd2"]


def test_no_answer_from_any_endpoint_lists_each_with_its_cause(scripted: ScriptedEtcd) -> None:
    silent = CallError("DEADLINE_EXCEEDED", "Deadline Exceeded")
    connections = scripted.connect(ScriptedSession([DOWN]), ScriptedSession([silent]))
    with pytest.raises(UnreachableError, match=r"no etcd endpoint answered \(0 of 2\)") as caught:
        connections.ask_any(question)
    assert caught.value.cause is not None
    assert caught.value.cause.splitlines() == [
        "etcd1:2379 unavailable: failed to connect to all addresses",
        "etcd2:2379 no answer within 1 s",
    ]


def test_what_the_diagnosis_says_becomes_cause_and_hints(scripted: ScriptedEtcd) -> None:
    asked: list[str] = []

    def diagnose(url: str) -> str:
        asked.append(url)
        return "tcp: connection refused\ncheck the port"

    connections = Connections(("https://etcd1:2379",), scripted.tls, timeout=1.0, diagnose=diagnose)
    failure = connections.failure(connections.endpoints[0], DOWN)
    assert (failure.cause, failure.hints) == ("tcp: connection refused", ("check the port",))
    assert asked == ["https://etcd1:2379"]


def test_a_diagnosis_without_a_finding_leaves_what_grpc_said(scripted: ScriptedEtcd) -> None:
    connections = Connections(("https://etcd1:2379",), scripted.tls, timeout=1.0, diagnose=lambda _: "")
    assert connections.failure(connections.endpoints[0], DOWN).cause == f"unavailable: {DOWN.detail}"


def test_a_diagnosis_that_cannot_be_made_leaves_the_endpoint_unreachable(scripted: ScriptedEtcd) -> None:
    def diagnose(_: str) -> str:
        raise UnusableInputError("client.crt cannot be read", cause="No such file", hint="put it back")

    connections = Connections(("https://etcd1:2379",), scripted.tls, timeout=1.0, diagnose=diagnose)
    failure = connections.failure(connections.endpoints[0], DOWN)
    assert isinstance(failure, UnreachableError)
    assert (failure.cause, failure.hints) == ("client.crt cannot be read: No such file", ("put it back",))


def test_a_certificate_of_another_name_is_no_refusal_of_etcds(scripted: ScriptedEtcd) -> None:
    differs = CallError("UNAUTHENTICATED", "call host does not match SSL server name")
    connections = scripted.connect(ScriptedSession([differs]), ScriptedSession([FOUND]))
    assert connections.ask_any(question)[0] == connections.endpoints[1]
    assert "could not be reached" in str(connections.failure(connections.endpoints[0], differs))


def test_a_port_that_speaks_http_alone_is_told_from_one_that_is_down(scripted: ScriptedEtcd) -> None:
    connections = scripted.connect(ScriptedSession())
    other = CallError("UNIMPLEMENTED", "Received http2 header with status: 404")
    failure = connections.failure(connections.endpoints[0], other)
    assert ("not as etcd's API" in (failure.cause or ""), len(failure.hints)) == (True, 1)


@pytest.mark.parametrize(
    "refusal",
    [
        CallError("PERMISSION_DENIED", "etcdserver: permission denied"),
        CallError("UNAUTHENTICATED", "etcdserver: invalid auth token"),
        CallError("INVALID_ARGUMENT", "etcdserver: user name is empty"),
        CallError("INVALID_ARGUMENT", "etcdserver: authentication failed, invalid user ID or password"),
        CallError("FAILED_PRECONDITION", "etcdserver: user name not found"),
        CallError("FAILED_PRECONDITION", "etcdserver: authentication is not enabled"),
        CallError("UNKNOWN", "auth: permission denied"),
        CallError("UNKNOWN", "auth: user not found"),
    ],
    ids=lambda refusal: refusal.detail,
)
def test_a_refusal_is_authorisation_and_no_other_endpoint_is_asked(scripted: ScriptedEtcd, refusal: CallError) -> None:
    connections = scripted.connect(ScriptedSession([refusal]), ScriptedSession([FOUND]))
    with pytest.raises(UnreachableError, match="refused the request") as caught:
        connections.ask_any(question)
    assert (caught.value.cause or "").startswith(f"authorisation: {refusal.detail}")
    assert len(scripted.opened) == 1


@pytest.mark.parametrize(
    ("said", "helps"),
    [
        ("user name is empty", "etcd wants a user"),
        ("authentication failed, invalid user ID or password", "etcd.passwordFile"),
        ("user name not found", "etcdctl user list"),
        ("authentication is not enabled", "leave etcd.user and etcd.passwordFile out"),
        ("permission denied", "a snapshot needs the role root"),
    ],
)
def test_what_helps_depends_on_what_etcd_says_of_the_user(scripted: ScriptedEtcd, said: str, helps: str) -> None:
    connections = scripted.connect(ScriptedSession())
    failure = connections.failure(connections.endpoints[0], CallError("PERMISSION_DENIED", f"etcdserver: {said}"))
    assert helps in " ".join(failure.hints)
    assert wrong_hints(failure.hints) == []


@pytest.mark.parametrize(
    ("detail", "error"),
    [
        ("etcdserver: mvcc: required revision has been compacted", StoppedError),
        ("etcdserver: mvcc: required revision is a future revision", WrongUsageError),
    ],
)
def test_a_revision_that_etcd_does_not_have_is_said_at_once(
    scripted: ScriptedEtcd, detail: str, error: type[Exception]
) -> None:
    connections = scripted.connect(ScriptedSession([CallError("OUT_OF_RANGE", detail)]), ScriptedSession([FOUND]))
    with pytest.raises(error):
        connections.ask_any(question)
    assert len(scripted.opened) == 1


def test_an_expired_token_is_renewed_once(scripted: ScriptedEtcd) -> None:
    expired = CallError("UNAUTHENTICATED", "etcdserver: invalid auth token")
    first, second, third = (
        ScriptedSession([FOUND, expired]),
        ScriptedSession([FOUND, expired]),
        ScriptedSession([expired]),
    )
    connections = scripted.connect(first, second, third, user="auditor")
    assert connections.ask_any(question)[1] == b"1"
    assert connections.ask_any(question)[1] == b"1"
    assert first.closed
    with pytest.raises(UnreachableError, match="refused the request"):
        connections.ask_any(question)


def test_sessions_are_kept_until_they_are_closed(scripted: ScriptedEtcd) -> None:
    session = ScriptedSession([FOUND, FOUND])
    connections = scripted.connect(session)
    connections.ask_any(question)
    connections.ask_any(question)
    assert len(scripted.opened) == 1
    connections.close()
    assert session.closed
