"""HTTPS to one API server at its own URL: kept-alive connections, timeouts, and what a failure was.

Knows HTTP and TLS, no Kubernetes resource. Verification of the server's
certificate cannot be turned off, redirects are not followed, proxies not used.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from keyctl.errors import UnreachableError, WrongUsageError
from keyctl.kube.answers import Answer, NoAnswerError, shown
from keyctl.kube.credentials import Credentials, load_credentials

_DEFAULT_PORT = 443
_UNAUTHENTICATED = 401
_CHUNK = 1 << 20
# A body may arrive for so many times the timeout of one read before it is given up.
_BODY_TIMEOUTS = 6
_STALE = (ConnectionError, ssl.SSLError, http.client.BadStatusLine)


def connect(
    kubeconfig: Path,
    context: str | None,
    *,
    url: str,
    server_name: str | None,
    ca: Path | None,
    timeout: float,
    diagnose: Callable[[str], str] | None = None,
) -> Connection:
    """Make ready to speak to the API server at `url` with the credentials of a kubeconfig; nothing is sent yet.

    `server_name` and `ca` replace what the kubeconfig says. `timeout`, in
    seconds, limits every single read and write. `diagnose` gets `url` after a
    failure of the transport and answers its cause in the first line, hints in the
    others. Raises `WrongUsageError` for a URL that is not https, and
    `UnusableInputError` for the kubeconfig.
    """
    _address(url)
    return Connection(
        url,
        lambda: load_credentials(kubeconfig, context, ca=ca),
        server_name=server_name,
        timeout=timeout,
        diagnose=diagnose,
    )


class Connection:
    """One API server as a user of it. `request` may be called from one thread; threads take a `channel` each."""

    def __init__(
        self,
        url: str,
        load: Callable[[], Credentials],
        *,
        server_name: str | None,
        timeout: float,
        diagnose: Callable[[str], str] | None,
    ) -> None:
        self.url = url
        self.timeout = timeout
        self.address = _address(url)
        self._load = load
        self._server_name = server_name
        self._diagnose = diagnose
        self._lock = threading.Lock()
        self.credentials = load()
        self._channel = Channel(self)
        self._idle: list[Channel] = []

    def __repr__(self) -> str:
        return f"<Connection to {self.url}>"

    @property
    def server_name(self) -> str:
        """The name that the server's certificate must carry."""
        return self._server_name or self.credentials.server_name or self.address[0]

    def channel(self) -> Channel:
        """A kept-alive connection of its own, for one thread."""
        return Channel(self)

    @contextlib.contextmanager
    def lent_channel(self) -> Iterator[Channel]:
        """A kept-alive connection for one thread, from an earlier time if there is one: handshakes cost."""
        with self._lock:
            channel = self._idle.pop() if self._idle else Channel(self)
        try:
            yield channel
        finally:
            with self._lock:
                self._idle.append(channel)

    def renew(self, refused: Credentials) -> Credentials:
        """Credentials loaded after `refused` were: by us, or by another thread in the meantime."""
        with self._lock:
            if self.credentials is refused:
                self.credentials = self._load()
            return self.credentials

    def request(
        self, method: str, path: str, *, accept: str, body: object = None, content_type: str = "application/json"
    ) -> Answer:
        """One request on the shared channel. Raises `UnreachableError` with the stage that failed."""
        try:
            return self._channel.request(method, path, accept=accept, body=body, content_type=content_type)
        except NoAnswerError as error:
            raise self.diagnosed(error) from error

    def diagnosed(self, error: NoAnswerError) -> UnreachableError:
        """`error` with the cause that `diagnose` finds, or as it is when that finds none."""
        found = self._diagnose(self.url) if self._diagnose else ""
        if not found:
            return error
        cause, *hints = found.splitlines()
        return UnreachableError(str(error), cause=cause, hint=tuple(hints))

    def close(self) -> None:
        """Close the shared channel, and those that were lent and came back."""
        for channel in (self._channel, *self._idle):
            channel.close()


class Channel:
    """One kept-alive HTTP/1.1 connection, for one thread; connects when first used and again when it was closed."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._credentials = connection.credentials
        self._http: _Https | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close it; the next request opens another."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def certificate_serial(self) -> int:
        """The serial number of the certificate that the server showed on this connection; 0 when not connected."""
        shown_certificate = self._http.peer_certificate() if self._http else {}
        return int(str(shown_certificate.get("serialNumber", "0")), 16)

    def request(
        self, method: str, path: str, *, accept: str, body: object = None, content_type: str = "application/json"
    ) -> Answer:
        """Send one request and read the whole answer, whatever its status.

        Credentials that are refused (401) are loaded once more, for tokens run
        out. Raises `NoAnswerError` when there is no answer.
        """
        content = None if body is None else json.dumps(body).encode()
        headers = {"Accept": accept, "User-Agent": "keyctl", "Content-Type": content_type}
        answer = self._send(method, path, content, headers)
        if answer.status == _UNAUTHENTICATED:
            self.close()
            self._credentials = self._connection.renew(self._credentials)
            answer = self._send(method, path, content, headers)
        return answer

    def _send(self, method: str, path: str, content: bytes | None, headers: Mapping[str, str]) -> Answer:
        if method == "POST":
            # It may not be sent twice, and a kept connection may be one that a restart has closed.
            self.close()
        reused = self._http is not None
        try:
            return self._exchange(method, path, content, headers)
        except _STALE as error:
            # A server closes idle connections, and all of them when it restarts.
            if not reused:
                raise self._unreachable(error) from error
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        try:
            return self._exchange(method, path, content, headers)
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error

    def _exchange(self, method: str, path: str, content: bytes | None, headers: Mapping[str, str]) -> Answer:
        if self._http is None:
            self._http = _Https(self._connection, self._credentials)
        if self._credentials.authorization:
            headers = {**headers, "Authorization": self._credentials.authorization}
        try:
            self._http.request(method, path, content, dict(headers))
            response = self._http.getresponse()
            body = self._read(response)
        except BaseException:
            # Also when interrupted: an answer that was not read would be taken for that of the next request.
            self.close()
            raise
        if response.will_close:
            self.close()
        return Answer(
            response.status,
            body,
            response.getheader("Date"),
            _seconds(response.getheader("Retry-After")),
            response.getheader("X-Kubernetes-PF-PriorityLevel-UID"),
        )

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        deadline = time.monotonic() + _BODY_TIMEOUTS * self._connection.timeout
        chunks = []
        while chunk := response.read(_CHUNK):
            chunks.append(chunk)
            if time.monotonic() > deadline:
                raise TimeoutError
        return b"".join(chunks)

    def _unreachable(self, error: Exception) -> NoAnswerError:
        return NoAnswerError(
            f"the API server at {self._connection.url} cannot be reached",
            cause=_cause(error, self._connection.timeout),
            hint=f"check with: curl --cacert CA {self._connection.url}/readyz",
        )


class _Https(http.client.HTTPSConnection):
    """An HTTPS connection that checks the server's certificate for a name of our choice."""

    def __init__(self, connection: Connection, credentials: Credentials) -> None:
        host, port = connection.address
        super().__init__(host, port, timeout=connection.timeout, context=credentials.context)
        self._tls = credentials.context
        self._expected_name = connection.server_name
        self._secured: ssl.SSLSocket | None = None
        self._unsent = bytearray()

    def send(self, data: object) -> None:
        """Keep the head until the body is there: one TLS record and one system call instead of two."""
        if not isinstance(data, bytes):
            raise TypeError("bodies are bytes")
        self._unsent += data

    def getresponse(self) -> http.client.HTTPResponse:
        request, self._unsent = bytes(self._unsent), bytearray()
        super().send(request)
        return super().getresponse()

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        self._secured = self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._expected_name)

    def peer_certificate(self) -> Mapping[str, object]:
        return (self._secured.getpeercert() if self._secured else None) or {}


def _address(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _DEFAULT_PORT
    except ValueError:
        host, port = None, 0
    if not url.startswith("https://"):
        raise WrongUsageError(
            f"the address {url} of an API server is not https",
            cause="keyctl speaks to API servers over verified TLS only; nothing was sent",
            hint=f"write https://{url.split('://')[-1]}",
        )
    if not host or parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise WrongUsageError(f"{url} is no address of an API server", hint="write https://HOST:PORT")
    return host, port


def _seconds(retry_after: str | None) -> float | None:
    return float(retry_after) if retry_after and retry_after.isdecimal() else None


def _cause(error: Exception, timeout: float) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f"tls of the server: {error.verify_message}"
        case ssl.SSLError():
            return f"tls: {(error.reason or 'the handshake failed').replace('_', ' ').lower()}"
        case TimeoutError():
            return f"no answer within {timeout:g} s"
        case OSError():
            return (error.strerror or str(error) or "the connection broke").lower()
    return f"the answer is not HTTP: {shown(type(error).__name__)}"
