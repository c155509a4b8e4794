"""Which stage of a mutual TLS connection fails: name, TCP, TLS of the server, TLS of the client, authorisation.

gRPC says "unavailable" to all of them. The probe connects by itself, sends one
harmless HTTP request, reads the answer's first bytes and drops them.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from keyctl.errors import UnusableInputError
from keyctl.pki.inspect import Certificate, key_matches, load_certificates, parse_certificates
from keyctl.stored.display import display

# How long a refusal of our certificate may take to arrive under TLS 1.3, where it follows a finished
# handshake. A request sent into a connection that was refused would lose it to a reset.
_REFUSAL_SECONDS = 0.3
_CLIENT_PAIR_HINT = (
    "use a pair issued by the CA that this server trusts for clients; on kubeadm:"
    " --cert /etc/kubernetes/pki/apiserver-etcd-client.crt --key /etc/kubernetes/pki/apiserver-etcd-client.key"
)
_HEAD, _MOST = 64, 1024
# How HTTP/2 begins: the preface, and settings of which there are none.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
HTTP_2, HTTP_1 = "h2", "http/1.1"
# How OpenSSL finds that what it reads is no TLS.
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"})
# X509_V_ERR_* of OpenSSL, include/openssl/x509_vfy.h.
_NOT_YET_VALID, _EXPIRED = 9, 10
_UNKNOWN_ISSUER = frozenset({2, 18, 19, 20, 21})
_WRONG_NAME = frozenset({62, 64})


class Stage(StrEnum):
    """The stages, in their order."""

    NAME = "name"
    TCP = "tcp"
    TLS_SERVER = "tls of the server"
    TLS_CLIENT = "tls of the client"
    AUTHORISATION = "authorisation"


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The stage that failed, or the last one when `ok`; what was observed, and what to do about it."""

    stage: Stage
    ok: bool
    cause: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect and as whom. `server_name` is the name asked of the server's certificate, by default `host`.

    `host` is a name or an address without brackets; `cert` and `key` may be None
    to see what a server does without a client certificate.
    """

    host: str
    port: int
    ca: Path
    cert: Path | None = None
    key: Path | None = None
    server_name: str | None = None

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def explain(
    endpoint: str, ca: Path, cert: Path | None, key: Path | None, server_name: str | None, timeout: float
) -> str:
    """Probe an endpoint URL: the stage and its cause in one line, a hint in a second; "" when all stages pass."""
    parts = urlsplit(endpoint)
    if parts.scheme != "https" or not parts.hostname:
        return f"{Stage.TLS_SERVER}: the address {endpoint} is not https\nwrite https://HOST:PORT"
    result = probe(Target(parts.hostname, parts.port or 2379, ca, cert, key, server_name), timeout)
    if result.ok:
        return ""
    return f"{result.stage}: {result.cause}" + (f"\n{result.hint}" if result.hint else "")


def probe(target: Target, timeout: float) -> ProbeResult:
    """Go through the stages until one fails. `timeout` in seconds limits each of them.

    Raises `UnusableInputError` when a file cannot be read or is not PEM.
    """
    if target.cert and target.key and not key_matches(target.cert, target.key):
        return ProbeResult(
            Stage.TLS_CLIENT,
            ok=False,
            cause=f"the key {target.key} does not belong to the certificate {target.cert}",
            hint="give the certificate and key that were issued together",
        )
    connection = _connect(target, timeout)
    if isinstance(connection, ProbeResult):
        return connection
    with connection:
        secured = _handshake(target, connection, timeout)
        if isinstance(secured, ProbeResult):
            return secured
        with secured:
            return _first_read(target, secured, timeout)


def _connect(target: Target, timeout: float) -> socket.socket | ProbeResult:
    try:
        socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except OSError as error:
        return ProbeResult(
            Stage.NAME, ok=False, cause=f"no address for {target.host} ({error.strerror})", hint="check the host name"
        )
    except UnicodeError:
        cause = f"{target.host} is no name that a host can have"
        return ProbeResult(Stage.NAME, ok=False, cause=cause, hint="check the host name")
    try:
        return socket.create_connection((target.host, target.port), timeout=timeout)
    except TimeoutError:
        cause = f"timed out after {timeout:g} s (firewall?)"
    except OSError as error:
        cause = (error.strerror or str(error)).lower()
    return ProbeResult(Stage.TCP, ok=False, cause=cause, hint=f"check that a server listens on {target}")


def context_for(target: Target) -> ssl.SSLContext:
    """TLS as our connections have it. Raises `UnusableInputError` when the files cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # As gRPC does: an intermediate CA in the file is enough, and a common name is no host's.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.hostname_checks_common_name = False
    try:
        context.load_verify_locations(target.ca)
        if target.cert is not None:
            context.load_cert_chain(target.cert, target.key, password=lambda: "")
    except ssl.SSLError as error:
        raise UnusableInputError("the TLS files of the probe cannot be used", cause=error.reason) from error
    except OSError as error:
        raise UnusableInputError("the TLS files of the probe cannot be read", cause=error.strerror) from error
    return context


def _handshake(target: Target, connection: socket.socket, timeout: float) -> ssl.SSLSocket | ProbeResult:
    context = context_for(target)
    try:
        return context.wrap_socket(connection, server_hostname=target.server_name or target.host)
    except ssl.SSLCertVerificationError as error:
        return _server_certificate(target, error, timeout)
    except ssl.SSLError as error:
        if "ALERT" in (error.reason or ""):
            return _client_refused(target, error.reason or "")
        if error.reason in _NO_TLS or _speaks_plainly(target, timeout):
            return _no_tls(target)
        cause = (error.reason or "the handshake failed").replace("_", " ").lower()
    except TimeoutError:
        cause = f"no answer to the TLS handshake within {timeout:g} s"
    except OSError as error:
        if _speaks_plainly(target, timeout):
            return _no_tls(target)
        cause = f"the connection broke in the TLS handshake ({(error.strerror or 'closed').lower()})"
    return ProbeResult(Stage.TLS_SERVER, ok=False, cause=cause, hint=f"check that {target} is etcd's client port")


def _speaks_plainly(target: Target, timeout: float) -> bool:
    """Whether it answers to HTTP without TLS. etcd without TLS closes the connection of who greets it with TLS."""
    with suppress(OSError), socket.create_connection((target.host, target.port), timeout=timeout) as plain:
        plain.sendall(question(target))
        answer = plain.recv(_MOST)
        return answer.startswith(b"HTTP/") and not wants_tls(answer)
    return False


def wants_tls(answer: bytes) -> bool:
    """Whether a server tells somebody without TLS that it wants TLS, as Go's and others do."""
    return b" 400 " in answer[:16] and b"HTTPS" in answer


def _no_tls(target: Target) -> ProbeResult:
    return ProbeResult(
        Stage.TLS_SERVER,
        ok=False,
        cause=f"the address is https, but {target} does not speak TLS",
        hint="start this etcd with --listen-client-urls https://… and its certificate, or check the port",
    )


def _server_certificate(target: Target, error: ssl.SSLCertVerificationError, timeout: float) -> ProbeResult:
    """Say what is wrong with the server's certificate, which is fetched again since Python drops a refused one."""
    presented = _fetch(target, timeout)
    cause, hint = f"the server's certificate is refused: {error.verify_message}", ""
    if error.verify_code in _WRONG_NAME:
        names = (
            f"it is for {display(', '.join(presented.names)) or 'no name at all'}"
            if presented
            else "it is for other names"
        )
        cause = f"the server's certificate is not for {target.server_name or target.host}; {names}"
        hint = "use one of these names as the endpoint, or name it with serverName in the cluster file"
        if presented and not presented.names:
            hint = f"give it a certificate with subjectAltName: keyctl certs init DIR --member NAME={target.host}"
    elif error.verify_code in (_EXPIRED, _NOT_YET_VALID):
        problem = presented.validity_problem(datetime.now(UTC)) if presented else None
        cause = f"the server's certificate is {problem}" if problem else cause
        hint = "renew it, or check this machine's clock"
    elif error.verify_code in _UNKNOWN_ISSUER:
        trusted = ", ".join(f'"{display(authority.subject)}"' for authority in load_certificates(target.ca))
        issuer = f'"{display(presented.issuer)}"' if presented else "another CA"
        cause = f"the server's certificate is signed by {issuer}; {target.ca} holds {trusted}"
        hint = "give etcd's own CA; on kubeadm: --cacert /etc/kubernetes/pki/etcd/ca.crt"
    return ProbeResult(Stage.TLS_SERVER, ok=False, cause=cause, hint=hint)


def _fetch(target: Target, timeout: float) -> Certificate | None:
    """The certificate that the server presents, unverified; nothing is sent on that connection."""
    with suppress(OSError, UnusableInputError):
        pem = ssl.get_server_certificate((target.host, target.port), timeout=timeout)
        return parse_certificates(pem.encode(), str(target))[0]
    return None


def _first_read(target: Target, connection: ssl.SSLSocket, timeout: float) -> ProbeResult:
    """Read once: only then a TLS 1.3 server has accepted our certificate."""
    try:
        connection.settimeout(min(_REFUSAL_SECONDS, timeout))
        with suppress(TimeoutError):
            return _judge(target, connection.recv(_HEAD) or _over_http_2(target, timeout))
        connection.settimeout(timeout)
        connection.sendall(question(target))
        return _judge(target, connection.recv(_HEAD) or _over_http_2(target, timeout))
    except ssl.SSLError as error:
        return _client_refused(target, error.reason or "")
    except TimeoutError:
        cause = f"no answer within {timeout:g} s after the TLS handshake"
    except OSError as error:
        cause = f"the connection broke after the TLS handshake ({(error.strerror or 'closed').lower()})"
    return ProbeResult(Stage.TLS_CLIENT, ok=False, cause=cause, hint=_CLIENT_PAIR_HINT)


def _over_http_2(target: Target, timeout: float) -> bytes:
    """What it answers to who speaks HTTP/2: a port of etcd that is for gRPC alone closes all other connections."""
    context = context_for(target)
    context.set_alpn_protocols([HTTP_2])
    with (
        suppress(OSError),
        socket.create_connection((target.host, target.port), timeout=timeout) as plain,
        context.wrap_socket(plain, server_hostname=target.server_name or target.host) as secured,
    ):
        secured.sendall(PREFACE)
        return secured.recv(_HEAD)
    return b""


def _judge(target: Target, answer: bytes) -> ProbeResult:
    if not answer:
        cause = "the server closed the connection after the TLS handshake"
        hint = f"check the port, for etcd's peer port (2380) does so to clients; else {_CLIENT_PAIR_HINT}"
        return ProbeResult(Stage.TLS_CLIENT, ok=False, cause=cause, hint=hint)
    if answer[9:12] in (b"401", b"403"):
        return ProbeResult(Stage.AUTHORISATION, ok=False, cause=f"{target} answered HTTP {answer[9:12].decode()}")
    return ProbeResult(Stage.AUTHORISATION, ok=True, cause=f"{target} answered")


def question(target: Target) -> bytes:
    """The one thing that is ever asked."""
    return f"GET /version HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n".encode()


def _client_refused(target: Target, reason: str) -> ProbeResult:
    """A TLS alert of the server: what it said, beside what our certificate says of itself."""
    words = reason.rpartition("ALERT_")[2].replace("_", " ").lower() or "connection refused"
    said = f'TLS alert "{words}"'
    if target.cert is None:
        cause = f"{said}: the server wants a client certificate and none was given"
        return ProbeResult(Stage.TLS_CLIENT, ok=False, cause=cause, hint="give --cert and --key")
    ours = load_certificates(target.cert)[0]
    problem = ours.validity_problem(datetime.now(UTC))
    if problem:
        cause = f"{said}; {target.cert} is {problem}"
        return ProbeResult(Stage.TLS_CLIENT, ok=False, cause=cause, hint="renew the client certificate")
    if not ours.asks:
        cause = f"{said}; the extended key usage of {target.cert} is not that of a client"
        return ProbeResult(Stage.TLS_CLIENT, ok=False, cause=cause, hint=_CLIENT_PAIR_HINT)
    server_ca = ", ".join(f'"{display(authority.subject)}"' for authority in load_certificates(target.ca))
    cause = f'{said}; {target.cert} is signed by "{display(ours.issuer)}", the server\'s certificate by {server_ca}'
    return ProbeResult(Stage.TLS_CLIENT, ok=False, cause=cause, hint=_CLIENT_PAIR_HINT)
