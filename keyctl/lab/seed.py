"""Secrets to try things on: created through an API server, and compared through any other, to the byte.

Their contents follow from their names, so that nothing has to be remembered to compare them.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypedDict, cast
from urllib.parse import urlsplit

from keyctl.errors import UnreachableError

_WORKERS = 8
_TIMEOUT = 30.0
_PAGE = 500


class _SecretItem(TypedDict, total=False):
    metadata: dict[str, str]
    data: dict[str, str]


class _SecretList(TypedDict):
    metadata: dict[str, str]
    items: list[_SecretItem]


@dataclass(frozen=True, slots=True)
class SeededSecret:
    """One Secret by namespace and name."""

    namespace: str
    name: str

    @property
    def password(self) -> str:
        """What it holds."""
        digest = hashlib.sha256(f"{self.namespace}/{self.name}".encode()).hexdigest()
        return f"password-of-{self.name}-{digest[:24]}"


def secrets_in(namespaces: tuple[str, ...], count: int) -> tuple[SeededSecret, ...]:
    """`count` Secrets, dealt out over `namespaces`."""
    return tuple(SeededSecret(namespaces[i % len(namespaces)], f"login-{i:05d}") for i in range(count))


def plant(url: str, context: ssl.SSLContext, secrets: tuple[SeededSecret, ...]) -> None:
    """Create the namespaces and the Secrets. Raises `UnreachableError` when the server refuses one."""
    with closing(_connect(url, context)) as connection:
        for namespace in sorted({secret.namespace for secret in secrets}):
            _post(connection, "/api/v1/namespaces", {"metadata": {"name": namespace}})
    with ThreadPoolExecutor(_WORKERS) as pool:
        shares = (secrets[worker::_WORKERS] for worker in range(_WORKERS))
        list(pool.map(lambda share: _plant_all(url, context, share), shares))


def differences(url: str, context: ssl.SSLContext, secrets: tuple[SeededSecret, ...]) -> tuple[str, ...]:
    """The Secrets that the server at `url` does not give back as they were created, by namespace/name."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    with closing(_connect(url, context)) as connection:
        for namespace in sorted({secret.namespace for secret in secrets}):
            found |= {(namespace, name): data for name, data in _read(connection, namespace)}
    return tuple(
        f"{secret.namespace}/{secret.name}"
        for secret in secrets
        if found.get((secret.namespace, secret.name)) != {"password": secret.password}
    )


def _plant_all(url: str, context: ssl.SSLContext, secrets: tuple[SeededSecret, ...]) -> None:
    with closing(_connect(url, context)) as connection:
        for secret in secrets:
            body = {"metadata": {"name": secret.name}, "stringData": {"password": secret.password}}
            _post(connection, f"/api/v1/namespaces/{secret.namespace}/secrets", body)


def _read(connection: http.client.HTTPSConnection, namespace: str) -> Iterator[tuple[str, dict[str, str]]]:
    after = ""
    while True:
        path = f"/api/v1/namespaces/{namespace}/secrets?limit={_PAGE}" + (f"&continue={after}" if after else "")
        answer = cast("_SecretList", json.loads(_ask(connection, "GET", path)))
        for item in answer["items"]:
            data = item.get("data", {})
            yield item["metadata"]["name"], {key: base64.b64decode(value).decode() for key, value in data.items()}
        after = answer["metadata"].get("continue", "")
        if not after:
            return


def _post(connection: http.client.HTTPSConnection, path: str, body: Mapping[str, object]) -> None:
    _ask(connection, "POST", path, json.dumps(body))


def _ask(connection: http.client.HTTPSConnection, method: str, path: str, body: str | None = None) -> bytes:
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        content = response.read()
    except (OSError, http.client.HTTPException) as exc:
        raise UnreachableError(f"the API server at {connection.host} did not answer", cause=str(exc)) from exc
    if response.status not in (HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.CONFLICT):
        raise UnreachableError(f"the API server at {connection.host} answered {response.status}")
    return content


def _connect(url: str, context: ssl.SSLContext) -> http.client.HTTPSConnection:
    parts = urlsplit(url)
    return http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT, context=context)
