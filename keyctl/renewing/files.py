"""The files of a party: whom they trust, and keys with their certificates, written so that the two go together.

Contents hold private keys: they reach no message.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from keyctl.errors import KeyctlError, RefusedError, StoppedError, UnreachableError
from keyctl.hosts.interface import HostFile
from keyctl.pki.describe import UNREADABLE, spki_of
from keyctl.pki.generation import Generation, Trust
from keyctl.pki.inspect import parse_certificates
from keyctl.pki.layout import CA, CLIENT, PEER, PEER_CA, SERVER
from keyctl.renewing.interface import Files, Place

_TRUST_FILES = (f"{CA}.crt", f"{PEER_CA}.crt")
_PAIRS = (SERVER, PEER, CLIENT)
# For both files beside those that are there, and for the former key once more.
_ROOM_BYTES = 64 * 1024
_HEAD = b"-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, and the names of their files."""

    stem: str
    certificate: bytes
    key: bytes = field(repr=False)

    @property
    def serial(self) -> int:
        """The certificate's serial number."""
        return parse_certificates(self.certificate, f"{self.stem}.crt")[0].serial


def trusted(files: Mapping[Generation, Files], trust: Trust) -> dict[str, bytes]:
    """What the CA files of a folder hold for `trust`."""
    wanted: dict[str, bytes] = {}
    for name in _TRUST_FILES:
        held = [files[one][name] for one in Generation if one in trust.generations and name in files.get(one, {})]
        if held:
            wanted[name] = b"".join(content.rstrip(b"\n") + b"\n" for content in held)
    return wanted


def pairs(files: Files) -> tuple[Pair, ...]:
    """The keys of a folder with their certificates."""
    return tuple(Pair(stem, files[f"{stem}.crt"], files[f"{stem}.key"]) for stem in _PAIRS if f"{stem}.crt" in files)


def write_trust(place: Place, trust: Trust) -> None:
    """Write the CA files. Raises `RefusedError` where one holds what keyctl never put there."""
    ours = [trusted(place.files, one) for one in Trust if one.generations <= set(place.files)]
    for name, content in trusted(place.files, trust).items():
        path = _path(place, name)
        found = read(place, name)
        if _same(found.content, content):
            continue
        if not any(_same(found.content, one[name]) for one in ours):
            raise RefusedError(
                f"{place.party}: {path} holds other CAs than the directory",
                hint="see who writes this file, and put the CA of the directory there",
            )
        place.host.write(path, content, expected=found.sha256)


def write_pair(place: Place, pair: Pair) -> None:
    """Put a key and its certificate in the place of those that are there.

    Two renames, one right after the other; between them the party takes no new connection. Where the second fails, the
    first is taken back. What a crash leaves between them is mended by doing it again. Raises `StoppedError` where there
    is no room for that.
    """
    key, certificate = read(place, f"{pair.stem}.key"), read(place, f"{pair.stem}.crt")
    _require_room(place, key.path)
    written = key
    if key.content != pair.key:
        written = place.host.write(key.path, pair.key, expected=key.sha256)
    if certificate.content == pair.certificate:
        return
    try:
        place.host.write(certificate.path, pair.certificate, expected=certificate.sha256)
    except (KeyctlError, KeyboardInterrupt):
        # NOTE: where the way to the host broke, it may have happened: then the new key is the right one.
        with suppress(KeyctlError):
            if read(place, f"{pair.stem}.crt").sha256 == certificate.sha256 and written.sha256 != key.sha256:
                place.host.write(key.path, key.content, expected=written.sha256)
        raise


def serial_on(place: Place, stem: str) -> int:
    """The serial number of the certificate `stem` that the host has."""
    found = read(place, f"{stem}.crt")
    return parse_certificates(found.content, found.path)[0].serial


def holds(place: Place, pair: Pair) -> bool:
    """Whether the host has this key and this certificate."""
    return (
        read(place, f"{pair.stem}.key").content == pair.key
        and read(place, f"{pair.stem}.crt").content == pair.certificate
    )


def torn(place: Place) -> bool:
    """Whether a key on the host is not that of its certificate: what a crash leaves between two renames."""
    return not all(
        _is_pair(read(place, f"{pair.stem}.crt").content, read(place, f"{pair.stem}.key").content)
        for pair in pairs(place.files[Generation.OLD])
    )


def trusts(place: Place, trust: Trust) -> bool:
    """Whether the CA files on the host are those for `trust`."""
    return all(_same(read(place, name).content, content) for name, content in trusted(place.files, trust).items())


def read(place: Place, name: str) -> HostFile:
    """A file of the party's folder on its host. Raises `UnreachableError` where it is not there."""
    path = _path(place, name)
    found = place.host.read(path)
    if found is None:
        raise UnreachableError(
            f"{place.party}: {path} is not there",
            hint="correct certificates.folder in the cluster file: it holds what certs init made for this host",
        )
    return found


def sweep(place: Place) -> None:
    """Remove what an earlier run left beside the files when it was killed."""
    files = place.files[Generation.OLD]
    for name in files:
        place.host.sweep(_path(place, name))


def _require_room(place: Place, path: str) -> None:
    free = place.host.free_bytes(path)
    if free is not None and free < _ROOM_BYTES:
        raise StoppedError(
            f"{place.party}: there is no room for a key and its certificate beside {path}",
            cause=f"{free} bytes are free; on a full disk one of the two would be written and the other not",
            hint="make room there",
        )


def _is_pair(certificate: bytes, key: bytes) -> bool:
    try:
        public = x509.load_pem_x509_certificate(certificate).public_key()
        return spki_of(public) == spki_of(load_pem_private_key(key, None).public_key())
    except (TypeError, *UNREADABLE):
        return False


def _path(place: Place, name: str) -> str:
    return str(PurePosixPath(place.folder) / name)


def _same(left: bytes, right: bytes) -> bool:
    """Whether two bundles hold the same certificates, whatever else stands in them."""
    return _certificates(left) == _certificates(right)


def _certificates(content: bytes) -> frozenset[bytes]:
    return frozenset(part.partition(b"-----END")[0].strip() for part in content.split(_HEAD)[1:])
