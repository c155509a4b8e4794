"""An HTTPS server on loopback whose answers a test scripts, and which keeps what it was asked."""

from __future__ import annotations

import contextlib
import functools
import json
import ssl
import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import trustme

from keyctl.kube.client import Connection, connect
from tests.support.kubeconfig import write_kubeconfig


@dataclass(frozen=True, slots=True)
class Request:
    """What arrived. `connection` numbers the TCP connections from 1."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back; `drop` closes the connection instead."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    drop: bool = False


def reply(document: object, status: int = 200, **headers: str) -> Reply:
    """A JSON answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, json.dumps(document).encode(), named)


def status_reply(code: int, message: str, *, name: str = "", fields: tuple[str, ...] = (), **headers: str) -> Reply:
    """A Kubernetes Status."""
    details = {"name": name, "causes": [{"field": path} for path in fields]}
    return reply({"kind": "Status", "message": message, "details": details}, code, **headers)


@functools.cache
def authority() -> trustme.CA:
    """The CA of all scripted servers in this process."""
    return trustme.CA()


@dataclass(slots=True)
class ScriptedApi:
    """A running one. `requests` grows as they arrive."""

    url: str
    folder: Path
    requests: list[Request]
    stop: Callable[[], None]
    _connections: list[Connection] = field(default_factory=list)

    def connect(self, **changes: object) -> Connection:
        """A connection with a user's kubeconfig written into `folder`."""
        path = self.folder / "user.kubeconfig"
        if not path.exists():
            write_kubeconfig(self.folder, authority(), self.url)
        wanted: dict[str, object] = {"url": self.url, "server_name": None, "ca": None, "timeout": 5.0, "diagnose": None}
        connection = connect(path, None, **(wanted | changes))  # type: ignore[arg-type]  # whatever the test wants
        self._connections.append(connection)
        return connection

    def close(self) -> None:
        """Close what `connect` opened, then the server."""
        for connection in self._connections:
            connection.close()
        self.stop()


@contextlib.contextmanager
def scripted_api(
    folder: Path,
    answer: Callable[[Request], Reply],
    *,
    signer: trustme.CA | None = None,
    name: str = "127.0.0.1",
    client_ca: trustme.CA | None = None,
) -> Generator[ScriptedApi]:
    """Serve `answer` with a certificate for `name`; with `client_ca` a client certificate of it is demanded."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (signer or authority()).issue_cert(name).configure_cert(context)
    if client_ca:
        client_ca.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    requests: list[Request] = []
    with _Server(context, answer, requests) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()

        def stop() -> None:
            server.shutdown()
            thread.join()

        api = ScriptedApi(f"https://127.0.0.1:{server.server_port}", folder, requests, stop)
        try:
            yield api
        finally:
            api.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Kept-alive connections end with their clients, so nobody waits for them here.
    block_on_close = False

    def __init__(self, context: ssl.SSLContext, answer: Callable[[Request], Reply], requests: list[Request]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.context = context
        self.answer = answer
        self.requests = requests
        self.connections = 0

    def handle_error(self, request: object, client_address: object) -> None:
        """Broken connections are what many tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        self.request = self.server.context.wrap_socket(self.request, server_side=True)
        self.server.connections += 1
        self.number = self.server.connections
        super().setup()

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()
        self.request.close()

    def log_message(self, format: str, *arguments: object) -> None:
        """Silent."""

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        asked = Request(self.command, self.path, dict(self.headers), body, self.number)
        self.server.requests.append(asked)
        said = self.server.answer(asked)
        if said.drop:
            self.close_connection = True
            return
        self.send_response_only(said.status)
        for name, value in ({"Date": self.date_time_string()} | dict(said.headers)).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(said.body)))
        self.end_headers()
        self.wfile.write(said.body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - http.server finds them by these names
