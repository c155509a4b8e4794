"""The ports of etcd's members, tried with certificates of both generations of its CAs.

The certificates are made for this, name nobody (a client of the name `keyctl-probe`), and are removed in the end, in a
folder that is its owner's alone. Nothing is asked of a member but its certificate, its version and its health.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography import x509

from keyctl.errors import UnusableInputError
from keyctl.pki.generation import Generation, Port
from keyctl.pki.generations import ends
from keyctl.pki.issue import Issued, Subject, Usage, issue, write_file, write_pair
from keyctl.pki.layout import CA, PEER_CA, Layout
from keyctl.pki.probe import Stage, Target, probe
from keyctl.pki.strangers import Pair

_NAME = "keyctl-probe"
_LIFE = timedelta(days=2)
_MARGIN = timedelta(minutes=1)
# What Go's servers say of a certificate whose signer they do not trust. Any other alert may be about their own.
_OF_ANOTHER_CA = ('TLS alert "unknown ca"', 'TLS alert "bad certificate"')


@dataclass(frozen=True, slots=True)
class Address:
    """Where a port of a member is; `server_name` is the name asked of its certificate, by default `host`."""

    host: str
    port: int
    server_name: str | None = None


class EtcdPorts:
    """See `Ports`. `files` are what to ask with; without a generation's files nobody of it is known."""

    def __init__(
        self, addresses: Mapping[tuple[str, Port], Address], pairs: Mapping[tuple[Port, Generation], Pair], trust: Path
    ) -> None:
        self._addresses, self._pairs, self._trust = addresses, pairs, trust
        self._timeout = 5.0

    def shown(self, member: str, port: Port) -> int | None:
        """See `Ports.shown`."""
        address = self._addresses[member, port]
        for pair in self._of(port):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            # It is looked at, whatever it is: what is compared is its serial number.
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.load_cert_chain(pair.cert, pair.key)
            try:
                with (
                    socket.create_connection((address.host, address.port), timeout=self._timeout) as connection,
                    context.wrap_socket(connection, server_hostname=address.server_name or address.host) as secured,
                ):
                    found = secured.getpeercert(binary_form=True)
            except OSError:
                continue
            if found:
                return x509.load_der_x509_certificate(found).serial_number
        return None

    def lets_in(self, member: str, port: Port, generation: Generation) -> bool | None:
        """See `Ports.lets_in`."""
        address, pair = self._addresses[member, port], self._pairs.get((port, generation))
        if pair is None:
            # Its CA has ended: whoever still trusts it takes no certificate of it.
            return False
        target = Target(address.host, address.port, self._trust, pair.cert, pair.key, address.server_name)
        answer = probe(target, self._timeout)
        if answer.ok or answer.stage is Stage.AUTHORISATION:
            return True
        return False if answer.cause.startswith(_OF_ANOTHER_CA) else None

    def ready(self, member: str) -> bool:
        """See `Ports.ready`."""
        address = self._addresses[member, Port.CLIENT]
        for pair in self._of(Port.CLIENT):
            context = ssl.create_default_context(cafile=str(self._trust))
            # Whether its certificate is for this name is seen by `lets_in`.
            context.check_hostname = False
            context.load_cert_chain(pair.cert, pair.key)
            connection = http.client.HTTPSConnection(address.host, address.port, context=context, timeout=self._timeout)
            try:
                connection.request("GET", "/health")
                answer = connection.getresponse()
                if answer.status == HTTPStatus.OK and json.loads(answer.read(4096)).get("health") == "true":
                    return True
            except (OSError, http.client.HTTPException, ValueError, AttributeError):
                continue
            finally:
                connection.close()
        return False

    def _of(self, port: Port) -> Iterator[Pair]:
        return (pair for (place, _), pair in self._pairs.items() if place is port)


@contextmanager
def ports(
    layouts: Mapping[Generation, Layout], addresses: Mapping[tuple[str, Port], Address], now: datetime
) -> Iterator[EtcdPorts]:
    """The ports at `addresses`, to be tried with certificates of `layouts`; of a CA that has ended there are none.

    Raises `UnusableInputError` where a CA cannot sign.
    """
    with TemporaryDirectory(prefix="keyctl-probe-") as place:
        folder, pairs, trusted = Path(place), {}, []
        for generation, layout in layouts.items():
            for port, stem in ((Port.CLIENT, CA), (Port.PEER, PEER_CA if layout.has_peer_ca else CA)):
                authority = _authority(layout, stem)
                trusted.append(authority.certificate)
                life = min(_LIFE, ends(layout) - now - _MARGIN)
                if life <= timedelta(0):
                    continue
                # NOTE: without names and addresses: a member compares those of a peer with where it comes from.
                subject = Subject(_NAME, Usage.CLIENT)
                pair = issue(authority, subject, now=now, lifetime=life)
                stem = f"{generation.value}-{port.name.lower()}"
                pairs[port, generation] = Pair(*write_pair(folder, stem, pair))
        trust = write_file(folder / "trusted.crt", b"".join(trusted), mode=0o600)
        yield EtcdPorts(addresses, pairs, trust)


def _authority(layout: Layout, stem: str) -> Issued:
    try:
        return Issued(layout.certificate(stem).read_bytes(), layout.key(stem).read_bytes())
    except OSError as error:
        raise UnusableInputError(
            f"the CA in {layout.root} cannot be used",
            cause=f"{error.filename}: {(error.strerror or 'cannot be read').lower()}",
            hint="name a directory that certs init made, with its CA's key in it",
        ) from error
