"""A server over TLS that answers as it is told, for states that a real Vault is hard to bring into."""

from __future__ import annotations

import contextlib
import http.server
import json
import ssl
import threading
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import trustme

from tests.support.etcd_process import write_secret


@dataclass
class Told:
    """An answer. `wait` seconds pass before it; `hang_up` is no answer at all."""

    status: int = 200
    body: Mapping[str, object] | bytes = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    wait: float = 0.0
    hang_up: bool = False


@dataclass
class StubVault:
    """Its address and CA file; `answers` by the end of a path, the longest that fits; `asked` is what came."""

    address: str
    cacert: Path
    answers: dict[str, Told]
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def answer(self, path: str) -> Told:
        fitting = [end for end in self.answers if path.partition("?")[0].endswith(end)]
        return self.answers[max(fitting, key=len)] if fitting else Told(404, {"errors": []})


ENGINE = Told(body={"data": {"type": "kv", "options": {"version": "2"}}})
TOKEN = Told(body={"data": {"ttl": 0, "renewable": False}})


@contextlib.contextmanager
def stub_vault(folder: Path, answers: Mapping[str, Told], *, name: str = "127.0.0.1") -> Generator[StubVault]:
    """Serve `answers`, beside those to the looks that come first, under a certificate for `name`."""
    authority = trustme.CA()
    pair = authority.issue_cert(name)
    write_secret(folder / "stub.crt", *pair.cert_chain_pems)
    write_secret(folder / "stub.key", pair.private_key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "stub.crt", folder / "stub.key")
    stub = StubVault("", write_secret(folder / "stub-ca.crt", authority.cert_pem), {})
    stub.answers = {"auth/token/lookup-self": TOKEN, "sys/internal/ui/mounts/keyctl": ENGINE, **answers}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(stub))
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    stub.address = f"https://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(stub: StubVault) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            stub.asked.append((self.command, self.path, dict(self.headers.items())))
            told = stub.answer(self.path)
            time.sleep(told.wait)
            if told.hang_up:
                self.close_connection = True
                return
            content = told.body if isinstance(told.body, bytes) else json.dumps(told.body).encode()
            with contextlib.suppress(OSError):
                self.send_response(told.status)
                for name, value in {"Content-Type": "application/json", **told.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_LIST = do_DELETE = _answer  # noqa: N815 — http.server's names

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Handler
