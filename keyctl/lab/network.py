"""Loopback addresses and ports nobody uses, and GET requests over mutual TLS. Nothing leaves the machine."""

from __future__ import annotations

import http.client
import secrets
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from keyctl.errors import UnreachableError

# NOTE: the kernel hands out ports from 32768 up to whoever connects: a server below cannot lose its port to a client.
LOWEST_PORT, PORTS = 20000, 12768
_TRIES = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said; `status` is 0 when it did not answer, and `text` then says why."""

    status: int
    text: str


@dataclass(frozen=True, slots=True)
class Credentials:
    """Paths of the server's authority and of our certificate and key."""

    cacert: Path
    cert: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """TLS that checks the server, and shows who we are."""
        context = ssl.create_default_context(cafile=str(self.cacert))
        context.load_cert_chain(self.cert, self.key)
        return context


def some_network() -> int:
    """A number n for addresses 127.0.n.x, by chance: labs then rarely meet, and ports settle the rest."""
    return 1 + secrets.randbelow(250)


def free_ports(addresses: Iterable[str], count: int) -> tuple[int, ...]:
    """`count` ports below 32768 that are free on each of `addresses`, at this moment."""
    wanted, found = tuple(addresses), dict[int, None]()
    for _ in range(_TRIES):
        port = LOWEST_PORT + secrets.randbelow(PORTS)
        if all(_free(address, port) for address in wanted):
            found[port] = None
        if len(found) == count:
            return tuple(found)
    raise UnreachableError(
        f"no free port on {', '.join(wanted)}",
        cause=f"{_TRIES} ports between {LOWEST_PORT} and {LOWEST_PORT + PORTS} were taken or not permitted",
        hint="see what listens: ss -ltn; the lab needs the whole of 127.0.0.0/8 on loopback, as Linux has it",
    )


def get(url: str, context: ssl.SSLContext, *, timeout: float = 2.0) -> Answer:
    """GET `url`. Never raises for a server that is down: that is an answer."""
    parts = urlsplit(url)
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, context=context, timeout=timeout)
    try:
        connection.request("GET", parts.path)
        response = connection.getresponse()
        return Answer(response.status, response.read().decode(errors="replace"))
    except ssl.SSLCertVerificationError as exc:
        return Answer(0, f"its certificate is not accepted: {exc.verify_message}")
    except (OSError, http.client.HTTPException) as exc:
        return Answer(0, str(exc) or type(exc).__name__)
    finally:
        connection.close()


def _free(address: str, port: int) -> bool:
    with socket.socket() as attempt:
        try:
            attempt.bind((address, port))
        except OSError:
            return False
    return True
