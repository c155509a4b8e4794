"""Who gets the metrics and who does not, in which format; nobody holds up anybody else."""

from __future__ import annotations

import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from keyctl.errors import RefusedError, UnusableInputError
from keyctl.exporter import catalogue, serving
from keyctl.exporter.board import Board, Look, Sample
from keyctl.exporter.catalogue import Source
from keyctl.exporter.serving import Place, Served, exposition, serve

_SECONDS = 30
HERE = Place("127.0.0.1", 0)


@pytest.fixture
def board() -> Board:
    made = Board((Source.VALUES,), cluster='pr"od', version="1")
    labels = ("secrets", "aescbc", "new\nline", "ok")
    made.note(Source.VALUES, Look(1, 2, 1, 30, (Sample(catalogue.STORED, labels, 3), Sample(catalogue.READ, (), 3))))
    return made


@contextmanager
def running(board: Board, place: Place) -> Iterator[Served]:
    served = serve(board, place)
    try:
        yield served
    finally:
        served.close()


@dataclass(frozen=True, slots=True)
class Identities:
    """An exporter's files, and clients: one that it knows, one of another CA, one without a certificate."""

    place: Place
    known: ssl.SSLContext
    foreign: ssl.SSLContext
    nobody: ssl.SSLContext


@pytest.fixture
def identities(tmp_path: Path) -> Identities:
    authority, other = trustme.CA(), trustme.CA()
    pair = authority.issue_cert("127.0.0.1", common_name="exporter")
    files = {name: tmp_path / name for name in ("cert", "key", "ca")}
    files["cert"].write_bytes(b"".join(blob.bytes() for blob in pair.cert_chain_pems))
    files["key"].write_bytes(pair.private_key_pem.bytes())
    authority.cert_pem.write_to_path(files["ca"])

    def context(signer: trustme.CA | None) -> ssl.SSLContext:
        made = ssl.create_default_context()
        authority.configure_trust(made)
        if signer is not None:
            signer.issue_cert("prometheus.test").configure_cert(made)
        return made

    place = Place("127.0.0.1", 0, files["cert"], files["key"], files["ca"])
    return Identities(place, context(authority), context(other), context(None))


def get(served: Served, context: ssl.SSLContext | None = None, *, accept: str = "*/*") -> tuple[str, str]:
    """The content type and the text."""
    url = f"{'http' if context is None else 'https'}://127.0.0.1:{served.port}/metrics"
    request = urllib.request.Request(url, headers={"Accept": accept})  # noqa: S310 — on loopback
    with urllib.request.urlopen(request, timeout=_SECONDS, context=context) as answer:  # noqa: S310 — as above
        return answer.headers["Content-Type"], answer.read().decode()


def test_openmetrics_is_served_to_who_asks_for_it_and_is_what_is_printed(board: Board) -> None:
    with running(board, HERE) as served:
        kind, text = get(served, accept="application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    found = {family.name: family for family in text_string_to_metric_families(text)}
    (sample,) = found["keyctl_stored_values"].samples
    assert sample.labels == {"resource": "secrets", "provider": "aescbc", "key": "new\nline", "state": "ok"}
    assert found["keyctl_source_looks"].type == "counter"
    assert found["keyctl_exporter_info"].samples[0].labels["cluster"] == 'pr"od'
    assert exposition(board).endswith("# EOF\n")
    assert set(exposition(board).splitlines()) <= set(text.splitlines())


def test_the_older_format_is_served_too_and_the_memory_of_the_process_with_it(board: Board) -> None:
    with running(board, HERE) as served:
        kind, text = get(served)
    assert kind.startswith("text/plain")
    assert "\nprocess_resident_memory_bytes " in text
    assert "process_" not in exposition(board)


def test_over_tls_only_a_client_of_the_ca_is_served(board: Board, identities: Identities) -> None:
    with running(board, identities.place) as served:
        assert "keyctl_stored_values" in get(served, identities.known)[1]
        for context in (identities.foreign, identities.nobody, None):
            with pytest.raises((OSError, urllib.error.URLError)):
                get(served, context)
        assert "keyctl_stored_values" in get(served, identities.known)[1]


def test_who_is_turned_away_leaves_no_trace_on_stderr(
    board: Board, identities: Identities, capfd: pytest.CaptureFixture[str]
) -> None:
    with running(board, identities.place) as served:
        for context in (identities.foreign, None):
            with pytest.raises((OSError, urllib.error.URLError)):
                get(served, context)
        get(served, identities.known)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("path", ["", "/", "/metrics/", "/metric", "/-/metrics", "/favicon.ico"])
def test_the_metrics_are_at_one_path_and_nothing_is_at_any_other(board: Board, path: str) -> None:
    with running(board, HERE) as served, pytest.raises(urllib.error.HTTPError) as answered:
        urllib.request.urlopen(f"http://127.0.0.1:{served.port}{path}", timeout=_SECONDS)
    with answered.value as answer:
        assert answer.code == 404
        assert b"keyctl_" not in answer.read()


def test_a_request_that_no_format_answers_leaves_no_trace_on_stderr(
    board: Board, capfd: pytest.CaptureFixture[str]
) -> None:
    with running(board, HERE) as served:
        with pytest.raises(urllib.error.HTTPError) as answered:
            get(served, accept="application/openmetrics-text; version=1.x")
        answered.value.close()
        get(served)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("over_tls", [True, False])
def test_a_client_that_says_nothing_holds_up_nobody(board: Board, identities: Identities, over_tls: bool) -> None:
    place, context = (identities.place, identities.known) if over_tls else (HERE, None)
    with running(board, place) as served, socket.create_connection(("127.0.0.1", served.port), timeout=_SECONDS):
        assert "keyctl_stored_values" in get(served, context)[1]


@pytest.mark.parametrize("over_tls", [True, False])
def test_a_client_that_stays_silent_is_sent_away(
    board: Board, identities: Identities, over_tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving._Handler, "timeout", 0.2)
    place = identities.place if over_tls else HERE
    with (
        running(board, place) as served,
        socket.create_connection(("127.0.0.1", served.port), timeout=_SECONDS) as mute,
    ):
        assert mute.recv(1) == b""


def test_there_is_an_end_to_the_patience_with_silent_clients() -> None:
    assert 0 < serving._Handler.timeout <= 60


@pytest.mark.parametrize("address", ["0.0.0.0", "10.0.0.1", "::", "192.168.1.9"])  # noqa: S104 — that is the point
def test_beyond_loopback_nothing_is_served_to_everybody_unasked(address: str) -> None:
    with pytest.raises(RefusedError, match="no loopback") as refused:
        Place(address, 9553)
    assert any("--client-ca" in hint for hint in refused.value.hints)
    with pytest.raises(RefusedError):
        Place(address, 9553, Path("cert"), Path("key"))
    with pytest.raises(RefusedError):
        Place(address, 9553, client_ca=Path("ca"))
    Place(address, 9553, Path("cert"), Path("key"), Path("ca"))
    Place(address, 9553, open_to_all=True)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.4.5.6", "::1"])
def test_on_loopback_it_needs_no_certificates(address: str) -> None:
    assert Place(address, 9553).scheme == "http"


def test_an_address_that_is_taken_is_a_sentence(board: Board) -> None:
    with (
        running(board, HERE) as served,
        pytest.raises(UnusableInputError, match=f"cannot listen on 127.0.0.1 port {served.port}"),
    ):
        serve(board, Place("127.0.0.1", served.port))
