"""A reader that polls every API server for a Secret while something is done to the cluster."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import threading
import time
from http import HTTPStatus
from urllib.parse import urlsplit

_POLL = 0.05


class Watcher:
    """Reads one Secret through each server all the time; anything but the right value or no connection is a fault."""

    def __init__(self, urls: tuple[str, ...], context: ssl.SSLContext, path: str, expected: str) -> None:
        self.faults: list[str] = []
        self.right_answers = 0
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._watch, args=(url, context, path, expected), daemon=True) for url in urls
        ]

    def __enter__(self) -> Watcher:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _watch(self, url: str, context: ssl.SSLContext, path: str, expected: str) -> None:
        parts = urlsplit(url)
        while not self._stop.is_set():
            connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=20, context=context)
            try:
                connection.request("GET", path)
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException):
                pass  # A server that is being restarted refuses; that is allowed.
            else:
                self._judge(url, answer.status, content, expected)
            finally:
                connection.close()
            time.sleep(_POLL)

    def _judge(self, url: str, status: int, content: bytes, expected: str) -> None:
        if status == HTTPStatus.SERVICE_UNAVAILABLE and b"apiserver is shutting down" in content:
            return  # The server's own way of refusing a connection that it has accepted already.
        data = json.loads(content)["data"] if status == HTTPStatus.OK else {}
        if base64.b64decode(data.get("password", "")).decode() == expected:
            self.right_answers += 1
        else:
            self.faults.append(f"{url} answered {status}: {content[:200]!r}")
