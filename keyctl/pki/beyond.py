"""Why etcd does not answer us: the stages of the probe, and then what gRPC asks for beyond mutual TLS.

gRPC's own TLS library takes no Ed25519 and looks at key usages, where OpenSSL, with which the probe is made, does not
mind; and it speaks HTTP/2 only. Asked after a call has failed, never before.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519

from keyctl.pki import probe
from keyctl.pki.describe import UNREADABLE, describe
from keyctl.pki.probe import HTTP_1, HTTP_2, PREFACE, Stage, Target, context_for

_DEFAULT_PORT = 2379
_HEAD = 64
_ANEW = "issue it anew: keyctl certs init makes all that etcd needs, openssl x509 -req takes -extfile FILE with "


def explain(
    endpoint: str, ca: Path, cert: Path | None, key: Path | None, server_name: str | None, timeout: float
) -> str:
    """What is wrong with an endpoint of etcd: stage and cause in one line, a hint in a second; "" where nothing is.

    `timeout` in seconds limits each stage. Raises `UnusableInputError` when a file cannot be used.
    """
    if found := probe.explain(endpoint, ca, cert, key, server_name, timeout):
        return found
    parts = urlsplit(endpoint)
    target = Target(parts.hostname or "", parts.port or _DEFAULT_PORT, ca, cert, key, server_name)
    stage, cause, hint = _beyond(target, timeout)
    return f"{stage}: {cause}\n{hint}" if cause else ""


def _beyond(target: Target, timeout: float) -> tuple[Stage, str, str]:
    """What gRPC minds where all stages pass; "" where that is nothing we know."""
    context = context_for(target)
    context.set_alpn_protocols([HTTP_2, HTTP_1])
    with (
        suppress(OSError),
        socket.create_connection((target.host, target.port), timeout=timeout) as plain,
        context.wrap_socket(plain, server_hostname=target.server_name or target.host) as secured,
    ):
        if found := _minded(secured.getpeercert(binary_form=True) or b""):
            return (Stage.TLS_SERVER, *found)
        secured.sendall(PREFACE)
        if secured.recv(_HEAD).startswith(b"HTTP/1"):
            cause = f"{target} speaks TLS and no HTTP/2, which gRPC needs; etcd's peer port (2380) answers like this"
            return Stage.AUTHORISATION, cause, "give the client port of etcd, which is 2379 unless told otherwise"
    return Stage.AUTHORISATION, "", ""


def _minded(der: bytes) -> tuple[str, str] | None:
    """What gRPC's TLS library minds about a server's certificate, and what helps."""
    with suppress(*UNREADABLE):
        certificate = x509.load_der_x509_certificate(der)
        if isinstance(certificate.public_key(), ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
            cause = "the server's key is of a kind (Ed25519, Ed448) that gRPC in C does not know, and keyctl uses that"
            return cause, "give etcd a certificate with an ECDSA or RSA key: keyctl certs init makes ECDSA by default"
        if not describe(certificate).signs:
            cause = "the key usage of the server's certificate has no digitalSignature, and gRPC in C refuses it"
            return cause, f"{_ANEW}keyUsage=digitalSignature,keyEncipherment"
    return None
