"""A second address in front of a server, as a load balancer is: connections are passed on, byte by byte."""

from __future__ import annotations

import contextlib
import selectors
import socket
import socketserver
import threading
from collections.abc import Iterator

from tests.support.etcd_process import free_port


@contextlib.contextmanager
def forwarding_to(host: str, port: int) -> Iterator[int]:
    """The port of 127.0.0.1 that leads to `host` and `port` while it lasts."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=10) as other:
                _pass_on(self.request, other)

    with _Server(("127.0.0.1", free_port()), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(one, selectors.EVENT_READ, other)
        selector.register(other, selectors.EVENT_READ, one)
        while True:
            for key, _ in selector.select():
                source = key.fileobj
                assert isinstance(source, socket.socket)
                if not (data := source.recv(65536)):
                    return
                key.data.sendall(data)
