"""The head of a stored value: who sealed it, or how it stands in plaintext.

Pure and cheap: looks at the head only, opens nothing, and says nothing about
whether a key fits. Layouts: k8s.io/apiserver
pkg/server/options/encryptionconfig/config.go and
pkg/storage/value/encrypt/envelope/kmsv2/v2/api.proto.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from keyctl.keys.key import KeyRef, Provider
from keyctl.stored import cbor
from keyctl.stored.kube_object import PROTOBUF_MAGIC
from keyctl.stored.protobuf import DamagedError, chunks

# kube-apiserver takes every value that starts so for an encrypted one.
MARKER = b"k8s:enc:"

_SEALS: dict[bytes, tuple[Provider, str]] = {
    b"k8s:enc:aescbc:v1:": (Provider.AESCBC, "v1"),
    b"k8s:enc:aesgcm:v1:": (Provider.AESGCM, "v1"),
    b"k8s:enc:secretbox:v1:": (Provider.SECRETBOX, "v1"),
    b"k8s:enc:kms:v1:": (Provider.KMS, "v1"),
    b"k8s:enc:kms:v2:": (Provider.KMS, "v2"),
}
_LONGEST_NAME = 1024
_LONGEST_KEY_ID = 1024


class Encoding(StrEnum):
    """How an object stands in plaintext."""

    PROTOBUF = "protobuf"
    JSON = "json"
    CBOR = "cbor"


_MAGICS = {PROTOBUF_MAGIC: Encoding.PROTOBUF, b"{": Encoding.JSON, cbor.MAGIC: Encoding.CBOR}
MAGIC_SIZES = {encoding: len(magic) for magic, encoding in _MAGICS.items()}


@dataclass(frozen=True, slots=True)
class Sealed:
    """Encrypted by a known provider under the key or plugin `name`; the body starts at `body_at`."""

    provider: Provider
    version: str
    name: str
    body_at: int

    @property
    def ref(self) -> KeyRef:
        """Provider and name."""
        return KeyRef(self.provider, self.name)


@dataclass(frozen=True, slots=True)
class Plaintext:
    """Starts as an object in `encoding` does."""

    encoding: Encoding


@dataclass(frozen=True, slots=True)
class UnknownSeal:
    """Marked as encrypted, but by no provider that is known here, or cut off within its head."""


@dataclass(frozen=True, slots=True)
class Unrecognised:
    """Neither marked as encrypted nor the start of an object."""


Head = Sealed | Plaintext | UnknownSeal | Unrecognised


def seal_head(provider: Provider, version: str, name: str) -> bytes:
    """What a value starts with that `provider` sealed under `name`. `ValueError` for a provider that seals nothing."""
    for seal, known in _SEALS.items():
        if known == (provider, version):
            return seal + name.encode("utf-8", "surrogatepass") + b":"
    raise ValueError(f"provider {provider} {version} seals nothing")


def classify(value: bytes, names: Collection[str] = ()) -> Head:
    """What the head of `value` says.

    A name may hold `:`, so the configured `names` are tried first, longest
    first; an unknown name is taken to end at its first `:`.
    """
    if value.startswith(MARKER):
        return _sealed(value, names)
    for magic, encoding in _MAGICS.items():
        if value.startswith(magic):
            return Plaintext(encoding)
    return Unrecognised()


def kms_v2_key_id(body: bytes) -> str | None:
    """The keyID that a KMS v2 message names in the clear; None when the message is damaged or lacks a part."""
    try:
        found = chunks(body, 0, len(body))
        if any(number not in found or found[number][0] == found[number][1] for number in (1, 2, 3)):
            return None
        start, end = found[2]
        return body[start:end].decode() if end - start <= _LONGEST_KEY_ID else None
    except (DamagedError, UnicodeDecodeError):
        return None


def _sealed(value: bytes, names: Collection[str]) -> Sealed | UnknownSeal:
    seal = next((seal for seal in _SEALS if value.startswith(seal)), None)
    if seal is None:
        return UnknownSeal()
    provider, version = _SEALS[seal]
    at = len(seal)
    for name in sorted(names, key=len, reverse=True):
        head = name.encode("utf-8", "surrogatepass") + b":"
        if value.startswith(head, at):
            return Sealed(provider, version, name, at + len(head))
    colon = value.find(b":", at, at + _LONGEST_NAME)
    if colon <= at:
        return UnknownSeal()
    return Sealed(provider, version, value[at:colon].decode("utf-8", "backslashreplace"), colon + 1)
