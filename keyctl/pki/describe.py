"""What one X.509 certificate says of itself, in values that a check can judge. Opens nothing, judges nothing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# What reading or describing a certificate raises where the library cannot.
UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
ANY = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE


@dataclass(frozen=True, slots=True)
class Described:
    """One certificate. `subject` and `issuer` are whole names, `names` those it stands for as a server.

    `usages` are those of the extended key usage, None where there is none, which forbids nothing. `spki` is the
    SHA-256 of the public key, `key_bits` those of an RSA key or a curve; `signature_hash` "" where the signature has
    no hash of its own. `certifies` and `signs`: a key usage, if there is one, allows it to sign certificates, or a
    handshake.
    """

    subject: str
    issuer: str
    common_name: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    serial: int
    is_ca: bool
    usages: frozenset[x509.ObjectIdentifier] | None
    spki: str
    key_type: str
    key_bits: int
    signature_hash: str
    certifies: bool = True
    signs: bool = True

    @property
    def serves(self) -> bool:
        """Whether a client lets it stand for a server."""
        return self._may(ExtendedKeyUsageOID.SERVER_AUTH)

    @property
    def asks(self) -> bool:
        """Whether a server lets it stand for a client."""
        return self._may(ExtendedKeyUsageOID.CLIENT_AUTH)

    @property
    def is_self_issued(self) -> bool:
        """Whether it names itself as its issuer."""
        return self.subject == self.issuer

    def _may(self, usage: x509.ObjectIdentifier) -> bool:
        return self.usages is None or bool(self.usages & {usage, ANY})


def describe(certificate: x509.Certificate) -> Described:
    """What `certificate` says. Raises what is in `UNREADABLE`."""
    public = certificate.public_key()
    kind, bits = type(public).__name__, 0
    if isinstance(public, rsa.RSAPublicKey):
        kind, bits = "RSA", public.key_size
    elif isinstance(public, ec.EllipticCurvePublicKey):
        kind, bits = "EC", public.key_size
    elif isinstance(public, ed25519.Ed25519PublicKey):
        kind = "Ed25519"
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    key_usage = _key_usage(certificate)
    return Described(
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        # As Go, and so etcd, takes the user of it: the last of several.
        common_name=str(common[-1].value) if common else "",
        names=_names(certificate),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        serial=certificate.serial_number,
        is_ca=_is_ca(certificate),
        usages=_usages(certificate),
        spki=spki_of(public),
        key_type=kind,
        key_bits=bits,
        signature_hash=_hash(certificate),
        certifies=key_usage is None or key_usage.key_cert_sign,
        signs=key_usage is None or key_usage.digital_signature,
    )


def spki_of(public: CertificatePublicKeyTypes | PublicKeyTypes) -> str:
    """The SHA-256 of a public key as certificates hold it: what a private key has in common with its certificate."""
    return hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    # Others, as of mail, are no names of a server.
    return tuple(str(name.value) for name in names if isinstance(name, x509.DNSName | x509.IPAddress))


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _usages(certificate: x509.Certificate) -> frozenset[x509.ObjectIdentifier] | None:
    try:
        return frozenset(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return None


def _key_usage(certificate: x509.Certificate) -> x509.KeyUsage | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None


def _hash(certificate: x509.Certificate) -> str:
    found = certificate.signature_hash_algorithm
    return found.name if found else ""
