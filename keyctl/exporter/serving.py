"""The board over HTTP or TLS, by prometheus-client's own server. The only file that imports that.

Serves to whom `Place` says, and never beyond loopback to everybody unless that was asked for.
"""

from __future__ import annotations

import io
import ipaddress
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import start_http_server
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector, CollectorRegistry

from keyctl.errors import RefusedError, UnusableInputError
from keyctl.exporter.board import Board, Sample
from keyctl.exporter.catalogue import Family, Kind

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_logger = logging.getLogger(__name__)

_PATH = "/metrics"
# How long a client may say nothing, in seconds; the handshake counts.
_PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where to listen: an IP address and a port, 0 for any. With `cert` and `key` over TLS, as PEM files.

    With `client_ca` only to clients with a certificate of that CA. `open_to_all`: beyond loopback even without that.
    Raises `RefusedError` for what would be served to everybody unasked.
    """

    address: str
    port: int
    cert: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None
    open_to_all: bool = False

    def __post_init__(self) -> None:
        # NOTE: without a certificate of its own it serves no TLS, and asks nobody for theirs.
        asks = None not in (self.cert, self.key, self.client_ca)
        if not asks and not self.open_to_all and not ipaddress.ip_address(self.address).is_loopback:
            raise RefusedError(
                f"{self.address} is no loopback, and everybody who gets there could read the metrics",
                hint=(
                    "ask for client certificates: --tls-cert, --tls-key and --client-ca",
                    "or say that this is meant: --allow-unauthenticated",
                ),
            )

    @property
    def scheme(self) -> str:
        """That of the address."""
        return "http" if self.cert is None else "https"


class Served:
    """A running server. `port` is where it listens."""

    def __init__(self, server: WSGIServer, thread: Thread) -> None:
        self._server, self._thread = server, thread
        self.port = server.server_port

    def close(self) -> None:
        """Stop to serve."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve(board: Board, place: Place) -> Served:
    """Serve `board` at `place`. Raises `UnusableInputError` where nothing can listen there."""
    try:
        server, thread = start_http_server(
            place.port,
            place.address,
            _registry(board, with_process=True),
            certfile=str(place.cert) if place.cert else None,
            keyfile=str(place.key) if place.key else None,
            client_cafile=str(place.client_ca) if place.client_ca else None,
            client_auth_required=place.client_ca is not None,
        )
    except OSError as error:
        raise UnusableInputError(
            f"cannot listen on {place.address} port {place.port}",
            cause=error.strerror or type(error).__name__,
            hint="choose another address with --listen",
        ) from error
    _harden(server)
    return Served(server, thread)


def exposition(board: Board) -> str:
    """The board as OpenMetrics, up to and with `# EOF` and a newline."""
    text: bytes = generate_latest(_registry(board, with_process=False))
    return text.decode()


class _Handler(WSGIRequestHandler):
    """One client: it may not be silent for long, and says nothing on our stderr, whatever it sends."""

    timeout = _PATIENCE

    def handle(self) -> None:
        """Answer it, or note why it was not answered: a handshake that failed, above all."""
        try:
            super().handle()
        except OSError as error:
            _logger.info("a client at %s was not served: %s", self.client_address[0], error)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""

    def get_stderr(self) -> _Log:
        """Where the traceback goes of an answer that did not come about."""
        return _Log()


class _Log(io.TextIOBase):
    """The log, as something that is written to."""

    def write(self, text: str) -> int:
        """Log `text`."""
        if text.strip():
            _logger.info("%s", text.rstrip())
        return len(text)


def _harden(server: WSGIServer) -> None:
    """Let no client hold up another one."""
    # NOTE: else the handshake is done where connections are accepted, and a client that says nothing stops them all.
    if hasattr(server.socket, "do_handshake_on_connect"):
        server.socket.do_handshake_on_connect = False
    server.RequestHandlerClass = _Handler
    server.set_app(_at_its_path(server.get_app()))


def _at_its_path(app: WSGIApplication | None) -> WSGIApplication:
    """`app`, which answers at any path, at `_PATH` alone."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if app is None or environ["PATH_INFO"] != _PATH:
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [f"there is only {_PATH}\n".encode()]
        return app(environ, start_response)

    return answer


def _registry(board: Board, *, with_process: bool) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(_Collector(board))
    if with_process:
        # NOTE: memory and open files of this process, by which a leak of ours would show.
        ProcessCollector(registry=registry)
    return registry


class _Collector(Collector):
    """The board as prometheus-client asks for it."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def collect(self) -> Iterator[Metric]:
        """See `Collector.collect`."""
        yield from _metrics(self._board.samples())


def _metrics(samples: Iterable[Sample]) -> Iterator[Metric]:
    """The samples by family: the format wants those of one family together."""
    by_family: dict[Family, list[Sample]] = {}
    for sample in samples:
        by_family.setdefault(sample.family, []).append(sample)
    for family, some in by_family.items():
        metric = _metric(family)
        for sample in some:
            metric.add_metric(sample.labels, float(sample.value))
        yield metric


def _metric(family: Family) -> GaugeMetricFamily | CounterMetricFamily:
    if family.kind is Kind.COUNTER:
        return CounterMetricFamily(family.name, family.help, labels=family.labels)
    return GaugeMetricFamily(family.name, family.help, labels=family.labels)
