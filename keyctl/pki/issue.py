"""Issue what mutual TLS needs: an authority, certificates for servers, clients and peers, a signing pair.

Functions of their arguments and of fresh keys: they return PEM and write
nothing; `write_pair` and `write_file` are the only ones that touch a disk.
Nothing is looked up, renewed or judged here, and no private key is ever in a repr.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from keyctl.errors import RefusedError, UnusableInputError

CLOCK_SKEW = timedelta(minutes=5)
_RSA_BITS = 3072
_PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
_PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey


class KeyKind(StrEnum):
    """What kind of key a certificate gets: P-256, Ed25519, or RSA of 3072 bits, which lasts as long as a CA does."""

    ECDSA = "ecdsa"
    ED25519 = "ed25519"
    RSA = "rsa"


class Usage(Enum):
    """What a certificate may be used for. An etcd member is server and client to its peers."""

    SERVER = (ExtendedKeyUsageOID.SERVER_AUTH,)
    CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)
    PEER = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    private_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SigningPair:
    """A key pair that signs service account tokens, both PEM."""

    public_key: bytes
    private_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a certificate names. To Kubernetes and etcd `common_name` is the user and `organizations` are the groups.

    `names` (DNS) and `addresses` (IP) are what a client compares a server with: all but a client needs one.
    """

    common_name: str
    usage: Usage
    organizations: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.usage is not Usage.CLIENT and not (self.names or self.addresses):
            raise ValueError(f"the certificate of server {self.common_name} names no address")


def new_authority(common_name: str, *, now: datetime, lifetime: timedelta, kind: KeyKind = KeyKind.ECDSA) -> Issued:
    """A self-signed authority that may sign certificates but no further authorities."""
    key = _new_key(kind)
    name = _name(common_name, ())
    builder = (
        _builder(name, name, key.public_key(), now, now + lifetime)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key, authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return _sealed(builder, key, key)


def issue(
    authority: Issued, subject: Subject, *, now: datetime, lifetime: timedelta, kind: KeyKind = KeyKind.ECDSA
) -> Issued:
    """A certificate for `subject`, signed by `authority`, with a key of its own.

    Raises `UnusableInputError` where it would outlive the authority: it would be refused before its own end.
    """
    signer = x509.load_pem_x509_certificate(authority.certificate)
    signer_key = _signing_key(authority)
    # NOTE: a certificate's times have no fractions of a second.
    if (now + lifetime).replace(microsecond=0) > signer.not_valid_after_utc:
        raise UnusableInputError(
            f"a certificate for {subject.common_name} would outlive its authority",
            cause=f"the authority ends at {signer.not_valid_after_utc.isoformat()}",
            hint="ask for a shorter life, or renew the authority first",
        )
    key = _new_key(kind)
    name = _name(subject.common_name, subject.organizations)
    builder = (
        _builder(name, signer.subject, key.public_key(), now, now + lifetime)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(key, authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(subject.usage.value), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer_key.public_key()), critical=False)
    )
    if subject.names or subject.addresses:
        builder = builder.add_extension(_alternative_names(subject), critical=False)
    return _sealed(builder, key, signer_key)


def new_signing_pair() -> SigningPair:
    """A pair for `--service-account-signing-key-file` and `--service-account-key-file`."""
    key = _new_key(KeyKind.ECDSA)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return SigningPair(public_key=public, private_key=_private_pem(key))


def write_pair(directory: Path, stem: str, issued: Issued) -> tuple[Path, Path]:
    """Write `<stem>.crt` and `<stem>.key` (0600) into `directory`. Raises `RefusedError` where one exists."""
    key = write_file(directory / f"{stem}.key", issued.private_key, mode=0o600)
    return write_file(directory / f"{stem}.crt", issued.certificate, mode=0o644), key


def write_file(path: Path, content: bytes, *, mode: int) -> Path:
    """Create `path` with `mode` from its first instant. Raises `RefusedError` where it exists, even as a link."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError as exc:
        raise RefusedError(
            f"{path} exists and is not overwritten", hint=f"move it away first: mv {path} {path}.old"
        ) from exc
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    return path


def kind_of(issued: Issued) -> KeyKind:
    """What kind of key it has. Raises `UnusableInputError` for one that keyctl does not make."""
    match _signing_key(issued):
        case rsa.RSAPrivateKey():
            return KeyKind.RSA
        case ed25519.Ed25519PrivateKey():
            return KeyKind.ED25519
        case _:
            return KeyKind.ECDSA


def _signing_key(authority: Issued) -> _PrivateKey:
    try:
        key = serialization.load_pem_private_key(authority.private_key, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UnusableInputError(
            "the authority's private key cannot be read", hint="it must be PEM, and without a password"
        ) from error
    if not isinstance(key, _PrivateKey):
        raise UnusableInputError(
            "the authority's key is of a kind that signs no certificates here",
            hint="use one with an ECDSA, Ed25519 or RSA key",
        )
    return key


def _builder(
    subject: x509.Name, issuer: x509.Name, key: _PublicKey, now: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        # NOTE: a clock that is a little behind ours must accept the certificate at once.
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(end)
    )


def _sealed(builder: x509.CertificateBuilder, key: _PrivateKey, signer: _PrivateKey) -> Issued:
    # Ed25519 has its own hash.
    certificate = builder.sign(signer, None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    return Issued(certificate=certificate.public_bytes(serialization.Encoding.PEM), private_key=_private_pem(key))


def _key_usage(key: _PrivateKey, *, authority: bool) -> x509.KeyUsage:
    # NOTE: key encipherment is an RSA key's affair (RFC 5480 §3); an elliptic curve key only signs.
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=not authority and isinstance(key, rsa.RSAPrivateKey),
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative_names(subject: Subject) -> x509.SubjectAlternativeName:
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in subject.names]
    names.extend(x509.IPAddress(ip_address(address)) for address in subject.addresses)
    return x509.SubjectAlternativeName(names)


def _name(common_name: str, organizations: tuple[str, ...]) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization) for organization in organizations]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _new_key(kind: KeyKind) -> _PrivateKey:
    if kind is KeyKind.RSA:
        return rsa.generate_private_key(65537, _RSA_BITS)
    if kind is KeyKind.ED25519:
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP256R1())


def _private_pem(key: _PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
