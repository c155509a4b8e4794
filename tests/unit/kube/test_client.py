"""Connections to a server: verified, kept alive, bounded in time, and honest about what failed."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import pytest
import trustme

from keyctl.errors import UnreachableError, WrongUsageError
from keyctl.kube.client import connect
from tests.support.etcd_process import free_port, write_secret
from tests.support.kubeconfig import write_kubeconfig
from tests.support.scripted_api import Reply, Request, ScriptedApi, authority, reply, scripted_api, status_reply


def _ok(_: Request) -> Reply:
    return reply({})


def _get(api: ScriptedApi, **changes: object) -> int:
    return api.connect(**changes).request("GET", "/", accept="*/*").status


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:6443",
        "127.0.0.1:6443",
        "HTTP://x",
        "https://",
        "https://user@host:1",
        "https://host:1/path",
        "https://host:99999",
        "https://host:x",
        "https://[::1",
    ],
)
def test_an_address_that_is_not_https_to_a_host_is_refused_before_any_file_is_read(url: str) -> None:
    with pytest.raises(WrongUsageError):
        connect(Path("does-not-exist"), None, url=url, server_name=None, ca=None, timeout=1)


# The five cases of mutual TLS.


def test_the_right_certificates_pass(tmp_path: Path) -> None:
    with scripted_api(tmp_path, _ok, client_ca=authority()) as api:
        assert _get(api) == 200


def test_without_a_client_certificate_there_is_no_answer(tmp_path: Path) -> None:
    with scripted_api(tmp_path, _ok, client_ca=authority()) as api:
        path = write_kubeconfig(tmp_path, authority(), api.url)
        document = json.loads(path.read_bytes())
        document["users"][0]["user"] = {}
        path.write_text(json.dumps(document))
        with pytest.raises(UnreachableError, match="cannot be reached"):
            _get(api)
        assert api.requests == []


def test_a_client_certificate_of_a_foreign_authority_gets_no_answer(tmp_path: Path) -> None:
    with scripted_api(tmp_path, _ok, client_ca=authority()) as api:
        write_kubeconfig(tmp_path, authority(), api.url, signer=trustme.CA())
        with pytest.raises(UnreachableError, match="cannot be reached"):
            _get(api)
        assert api.requests == []


def test_a_server_of_a_foreign_authority_is_not_spoken_to(tmp_path: Path) -> None:
    with scripted_api(tmp_path, _ok, signer=trustme.CA()) as api:
        with pytest.raises(UnreachableError, match="cannot be reached") as caught:
            _get(api)
        assert str(caught.value.cause).startswith("tls of the server: ")
        assert api.requests == []


def test_a_server_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    with scripted_api(tmp_path, _ok, name="cp1.test") as api:
        with pytest.raises(UnreachableError) as caught:
            _get(api)
        assert "not valid for '127.0.0.1'" in str(caught.value.cause)
        assert api.requests == []


def test_the_name_to_expect_can_be_given(tmp_path: Path) -> None:
    with scripted_api(tmp_path, _ok, name="cp1.test") as api:
        assert _get(api, server_name="cp1.test") == 200


def test_the_authority_to_trust_can_be_given(tmp_path: Path) -> None:
    other = trustme.CA()
    with scripted_api(tmp_path, _ok, signer=other) as api:
        assert _get(api, ca=write_secret(tmp_path / "other.crt", other.cert_pem)) == 200


def test_requests_share_one_connection_and_channels_have_their_own(tmp_path: Path) -> None:
    with scripted_api(tmp_path, _ok) as api:
        connection = api.connect()
        for _ in range(3):
            connection.request("GET", "/shared", accept="*/*")
        with connection.channel() as channel:
            channel.request("GET", "/own", accept="*/*")
            assert channel.certificate_serial() > 0
        assert [(r.path, r.connection) for r in api.requests] == [("/shared", 1)] * 3 + [("/own", 2)]


def test_the_body_and_the_headers_arrive(tmp_path: Path) -> None:
    with scripted_api(tmp_path, _ok) as api:
        api.connect().request("PATCH", "/x", accept="a/b", body={"n": 1}, content_type="c/d")
    (asked,) = api.requests
    assert (asked.method, asked.path, json.loads(asked.body)) == ("PATCH", "/x", {"n": 1})
    assert (asked.headers["Accept"], asked.headers["Content-Type"]) == ("a/b", "c/d")


@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE"])
def test_a_kept_connection_that_the_server_closed_is_opened_again(tmp_path: Path, method: str) -> None:
    with scripted_api(tmp_path, lambda r: Reply(drop=r.path == "/second" and r.connection == 1)) as api:
        connection = api.connect()
        connection.request("GET", "/first", accept="*/*")
        assert connection.request(method, "/second", accept="*/*").status == 200
    assert [(r.path, r.connection) for r in api.requests] == [("/first", 1), ("/second", 1), ("/second", 2)]


def test_a_post_has_a_new_connection_and_is_never_sent_twice(tmp_path: Path) -> None:
    with scripted_api(tmp_path, lambda r: Reply(drop=r.path == "/second")) as api:
        connection = api.connect()
        connection.request("GET", "/first", accept="*/*")
        with pytest.raises(UnreachableError):
            connection.request("POST", "/second", accept="*/*")
    assert [(r.path, r.connection) for r in api.requests] == [("/first", 1), ("/second", 2)]


def test_a_server_that_drops_every_connection_is_asked_no_more_than_twice(tmp_path: Path) -> None:
    with scripted_api(tmp_path, lambda r: Reply(drop=r.path == "/x")) as api:
        connection = api.connect()
        connection.request("GET", "/", accept="*/*")
        with pytest.raises(UnreachableError):
            connection.request("GET", "/x", accept="*/*")
    assert [r.path for r in api.requests] == ["/", "/x", "/x"]


def test_a_silent_server_is_given_up_after_the_timeout(tmp_path: Path) -> None:
    answered = threading.Event()

    def wait(_: Request) -> Reply:
        answered.wait(10)
        return reply({})

    with scripted_api(tmp_path, wait) as api:
        with pytest.raises(UnreachableError) as caught:
            _get(api, timeout=0.3)
        answered.set()
    assert caught.value.cause == "no answer within 0.3 s"


def test_an_answer_that_came_too_late_is_not_taken_for_that_of_the_next_request(tmp_path: Path) -> None:
    release = threading.Event()

    def late(request: Request) -> Reply:
        if request.path == "/late":
            release.wait(10)
            return reply({}, 418)
        return reply({}, 200)

    with scripted_api(tmp_path, late) as api:
        connection = api.connect(timeout=0.5)
        with pytest.raises(UnreachableError):
            connection.request("GET", "/late", accept="*/*")
        release.set()
        assert connection.request("GET", "/next", accept="*/*").status == 200
    assert [(r.path, r.connection) for r in api.requests] == [("/late", 1), ("/next", 2)]


def test_a_server_that_is_not_there_is_unreachable_with_the_diagnosed_cause(tmp_path: Path) -> None:
    url = f"https://127.0.0.1:{free_port()}"
    path = write_kubeconfig(tmp_path, authority(), url)

    def request(diagnosis: str) -> UnreachableError:
        asked = []

        def diagnose(about: str) -> str:
            asked.append(about)
            return diagnosis

        connection = connect(path, None, url=url, server_name=None, ca=None, timeout=1, diagnose=diagnose)
        with pytest.raises(UnreachableError) as caught:
            connection.request("GET", "/", accept="*/*")
        assert asked == [url]
        return caught.value

    assert (error := request("tcp: connection refused\nstart it\nor wait")).cause == "tcp: connection refused"
    assert error.hints == ("start it", "or wait")
    assert request("").cause == "connection refused"


def test_an_answer_that_is_not_http_is_no_traceback(tmp_path: Path) -> None:
    reply_to = Reply(200, headers={"x" * 70000: "y"})
    with scripted_api(tmp_path, lambda _: reply_to) as api, pytest.raises(UnreachableError) as caught:
        _get(api)
    assert caught.value.cause == "the answer is not HTTP: LineTooLong"


def test_a_redirect_is_an_answer_and_is_not_followed(tmp_path: Path) -> None:
    with scripted_api(tmp_path, lambda _: Reply(302, headers={"Location": "https://127.0.0.1:1/"})) as api:
        assert _get(api) == 302
    assert len(api.requests) == 1


def test_an_expired_token_is_fetched_anew_once(tmp_path: Path) -> None:
    counter = tmp_path / "count"
    plugin = (
        f"import json, pathlib; p = pathlib.Path({str(counter)!r}); n = p.stat().st_size + 1 if p.exists() else 1\n"
        "p.write_text('x' * n)\n"
        "print(json.dumps({'apiVersion': 'client.authentication.k8s.io/v1', 'kind': 'ExecCredential',"
        " 'status': {'token': f'token-{n}'}}))"
    )

    def only_second(request: Request) -> Reply:
        good = request.headers.get("Authorization") == "Bearer token-2"
        return reply({}) if good else status_reply(401, "Unauthorized")

    with scripted_api(tmp_path, only_second) as api:
        path = write_kubeconfig(tmp_path, authority(), api.url)
        document = json.loads(path.read_bytes())
        version = "client.authentication.k8s.io/v1"
        document["users"][0]["user"] = {
            "exec": {"apiVersion": version, "command": sys.executable, "args": ["-c", plugin]}
        }
        path.write_text(json.dumps(document))
        connection = api.connect()
        assert connection.request("GET", "/", accept="*/*").status == 200
        with connection.channel() as channel:
            assert channel.request("GET", "/", accept="*/*").status == 200
    assert counter.read_text() == "xx"


def test_credentials_that_stay_refused_are_answered_with_401(tmp_path: Path) -> None:
    with scripted_api(tmp_path, lambda _: status_reply(401, "Unauthorized")) as api:
        assert _get(api) == 401
    assert len(api.requests) == 2
