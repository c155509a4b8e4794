"""What a PEM certificate says of itself, and whether a key belongs to it. Opens files, never a connection."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from keyctl.errors import UnusableInputError
from keyctl.pki.describe import UNREADABLE, describe


@dataclass(frozen=True, slots=True)
class Certificate:
    """The parts of a certificate that decide whether a connection works.

    `subject` and `issuer` are the common names, or the whole names where there is
    none; `names` the DNS names and IP addresses it is valid for; times are in UTC.
    `asks`: its extended key usage, if it has one, lets it stand for a client.
    """

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    serial: int
    asks: bool = True

    def validity_problem(self, now: datetime) -> str | None:
        """Why the certificate is not valid at `now`, or None."""
        if now > self.not_after:
            return f"expired {_span(now - self.not_after)} ago ({self.not_after:%Y-%m-%d %H:%M} UTC)"
        if now < self.not_before:
            return f"not valid for another {_span(self.not_before - now)} (from {self.not_before:%Y-%m-%d %H:%M} UTC)"
        return None


def parse_certificates(pem: bytes, origin: str) -> tuple[Certificate, ...]:
    """Every certificate of a PEM text, in its order. Raises `UnusableInputError`, naming `origin`."""
    try:
        return tuple(_describe(certificate) for certificate in x509.load_pem_x509_certificates(pem))
    except UNREADABLE as error:
        raise UnusableInputError(f"no certificate can be read from {origin}", hint="it must be PEM") from error


def load_certificates(path: Path) -> tuple[Certificate, ...]:
    """Every certificate of a PEM file, in its order. Raises `UnusableInputError`."""
    return parse_certificates(_read(path), str(path))


def key_matches(certificate: Path, key: Path) -> bool:
    """Whether the private `key` belongs to the first certificate of the file. Raises `UnusableInputError`."""
    certificate_pem, key_pem = _read(certificate), _read(key)
    try:
        public = x509.load_pem_x509_certificate(certificate_pem).public_key()
    except ValueError as error:
        raise UnusableInputError(f"no certificate can be read from {certificate}") from error
    try:
        private = load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UnusableInputError(f"no unencrypted PEM key can be read from {key}") from error
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return public.public_bytes(*form) == private.public_key().public_bytes(*form)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnusableInputError(f"{path} cannot be read", cause=error.strerror) from error


def _describe(certificate: x509.Certificate) -> Certificate:
    return Certificate(
        subject=_short(certificate.subject),
        issuer=_short(certificate.issuer),
        names=_names(certificate),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        serial=certificate.serial_number,
        asks=describe(certificate).asks,
    )


def _short(name: x509.Name) -> str:
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(common[0].value) if common else name.rfc4514_string()


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = names.get_values_for_type(x509.IPAddress)
    return (*names.get_values_for_type(x509.DNSName), *(str(address) for address in addresses))


def _span(time: timedelta) -> str:
    """Days where there are some, else hours, else minutes: what a reader acts on."""
    minutes = int(time.total_seconds()) // 60
    for count, unit in ((minutes // 1440, "day"), (minutes // 60, "hour")):
        if count:
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{minutes} min"
