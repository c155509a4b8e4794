"""The certificate that a server presents, looked at and not trusted: no request is sent on that connection."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from keyctl.pki.inspect import Certificate, parse_certificates


@dataclass(frozen=True, slots=True)
class Identity:
    """Our certificate and its key, for servers that the CA in `cacert` vouches for and for no other."""

    cacert: Path
    cert: Path
    key: Path


def presented(host: str, port: int, timeout: float, identity: Identity | None = None) -> Certificate | None:
    """The first certificate of the server at `host`, unverified; None where it shows none within `timeout` seconds.

    `identity` is for a server of TLS 1.2 that ends a handshake without a client's certificate; only there the server
    is verified, but for its name.

    Raises `UnusableInputError` for one that cannot be read.
    """
    pem = _pem(host, port, timeout) or (_pem_for(host, port, timeout, identity) if identity else None)
    if pem is None:
        return None
    return parse_certificates(pem.encode(), f"{host}:{port}")[0]


def _pem(host: str, port: int, timeout: float) -> str | None:
    try:
        return ssl.get_server_certificate((host, port), timeout=timeout)
    except (OSError, ValueError):
        return None


def _pem_for(host: str, port: int, timeout: float, identity: Identity) -> str | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    try:
        context.load_verify_locations(identity.cacert)
        context.load_cert_chain(identity.cert, identity.key, password=lambda: "")
        with (
            socket.create_connection((host, port), timeout=timeout) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            found = secured.getpeercert(binary_form=True)
    except (OSError, ValueError):
        return None
    return ssl.DER_cert_to_PEM_cert(found) if found else None
