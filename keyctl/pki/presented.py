"""The certificate that a server presents, looked at and not trusted: nothing is sent on that connection."""

from __future__ import annotations

import ssl

from keyctl.pki.inspect import Certificate, parse_certificates


def presented(host: str, port: int, timeout: float) -> Certificate | None:
    """The first certificate of the server at `host`, unverified; None where it shows none within `timeout` seconds.

    Raises `UnusableInputError` for one that cannot be read.
    """
    try:
        pem = ssl.get_server_certificate((host, port), timeout=timeout)
    except (OSError, ValueError):
        return None
    return parse_certificates(pem.encode(), f"{host}:{port}")[0]
