"""Plain HTTP to one API server, and which of its answers nobody may ever get. Independent of the code under test."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from collections.abc import Iterator
from http import HTTPStatus
from types import TracebackType
from typing import TypedDict, cast
from urllib.parse import urlsplit

# Longer than the servers' own --request-timeout.
_TIMEOUT = 15.0
_PAGE = 500
_KEY = "content"
# How a server says that its etcd is away, or that it is itself on its way up or down; these come with 500, too.
_AWAY = (
    b"etcdserver: ",
    b"rpc error: code = Unavailable",
    b"rpc error: code = Canceled",
    b"rpc error: code = DeadlineExceeded",
    b"context deadline exceeded",
    b"context canceled",
    b"not yet ready to handle request",
    b"apiserver is shutting down",
    b"request timed out",
)
_UNREADABLE = (
    b"transform",
    b"decrypt",
    b"corrupt",
    b"no matching prefix",
    b"no matching key",
    b"padding",
    b"not start with",
)
_BUSY = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}


class NotSentError(OSError):
    """There is no connection, so nothing was sent."""


class _Item(TypedDict, total=False):
    metadata: dict[str, str]
    data: dict[str, str]


class Talk:
    """One connection after the other to the server at `url`."""

    def __init__(self, url: str, context: ssl.SSLContext) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port, timeout=_TIMEOUT, context=context
        )

    def __enter__(self) -> Talk:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def connect(self) -> None:
        """Be connected. Raises `NotSentError` where that cannot be."""
        if self._connection.sock is not None:
            return
        try:
            self._connection.connect()
        except OSError as exc:
            self._connection.close()
            raise NotSentError(str(exc)) from exc

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        """One request: status and content. Raises `OSError` or `HTTPException` where no answer came."""
        try:
            self._connection.request(
                method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"}
            )
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except BaseException:
            self._connection.close()
            raise

    def put(self, resource: str, namespace: str, name: str, content: str | None, *, new: bool) -> tuple[int, bytes]:
        """Create, update or, without `content`, delete an object."""
        path = f"/api/v1/namespaces/{namespace}/{resource}"
        if content is None:
            return self.ask("DELETE", f"{path}/{name}")
        text = content if resource == "configmaps" else base64.b64encode(content.encode()).decode()
        body = {"metadata": {"name": name}, "data": {_KEY: text}}
        return self.ask("POST", path, body) if new else self.ask("PUT", f"{path}/{name}", body)

    def list(self, resource: str, namespace: str) -> Iterator[tuple[str, str]]:
        """Name and content of every object of a namespace."""
        after = ""
        while True:
            path = f"/api/v1/namespaces/{namespace}/{resource}?limit={_PAGE}" + (f"&continue={after}" if after else "")
            status, answer = self.ask("GET", path)
            assert status == HTTPStatus.OK, answer
            yield from contents_of(answer)
            after = json.loads(answer)["metadata"].get("continue", "")
            if not after:
                return


def contents_of(answer: bytes) -> Iterator[tuple[str, str]]:
    """Name and content of the object, or of every object of the list, that a server answered with."""
    document = json.loads(answer)
    plain = document["kind"].startswith("ConfigMap")
    items = cast("list[_Item]", document.get("items", [document]))
    for item in items:
        texts = item.get("data", {}).values()
        # NOTE: a seeded one has its datum under another name, and others may have none or several.
        yield item["metadata"]["name"], "\n".join(text if plain else _decoded(text) for text in texts)


def is_fault(status: int, answer: bytes) -> bool:
    """Whether no server may answer so, whatever happens to the others: a stored value it cannot read, above all."""
    if status == 0 or status in _BUSY:
        return _speaks_of(_UNREADABLE, answer)
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return False
    return _speaks_of(_UNREADABLE, answer) or not _speaks_of(_AWAY, answer)


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode(errors="replace")


def _speaks_of(words: tuple[bytes, ...], answer: bytes) -> bool:
    return any(word in answer for word in words)
