"""Bytes of an EncryptionConfiguration → its values, as kube-apiserver would load them. Opens no file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from keyctl.documents import Document, parse
from keyctl.encryption_config.fields import RawConfig, RawProvider, read_fields
from keyctl.encryption_config.model import (
    EncryptionConfig,
    IdentityReader,
    KmsReader,
    ProviderElement,
    Reader,
    ResourceEntry,
    StaticReader,
)
from keyctl.encryption_config.rules import check, decode_secret
from keyctl.keys.key import Key, Provider


@dataclass(frozen=True, slots=True)
class Decoded:
    """A configuration, and where each part of it stands. Its repr shows neither the text nor a key.

    `raw` has the same shape as `config`, with the nodes of every entry, provider element and key.
    """

    config: EncryptionConfig
    document: Document = field(repr=False)
    raw: RawConfig = field(repr=False)

    @property
    def text(self) -> str:
        """The whole file; holds key bytes."""
        return self.document.text


def decode(content: bytes, *, name: str, kms_v1: bool = False) -> Decoded:
    """The configuration that kube-apiserver 1.31 and newer make of `content`.

    `name` is the file as the reader knows it. `kms_v1` is True for servers with the feature gate KMSv1.

    Raises `UnusableInputError` for whatever the server refuses, and for the few things keyctl does not read
    although the server might (see `keyctl.documents` and `keyctl.encryption_config.rules`).
    """
    document = parse(content, name=name)
    raw = read_fields(document)
    check(raw, name=name, kms_v1=kms_v1)
    entries = tuple(
        ResourceEntry(
            tuple(item.text for item in entry.resources), tuple(_element(provider) for provider in entry.providers)
        )
        for entry in raw.entries
    )
    return Decoded(EncryptionConfig(entries), document, raw)


def hash_of(content: bytes) -> str:
    """The hash that kube-apiserver 1.34 and newer report for a file with exactly these bytes."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _element(raw: RawProvider) -> ProviderElement:
    (provider,) = raw.chosen
    return ProviderElement(provider, _readers(raw, provider))


def _readers(raw: RawProvider, provider: Provider) -> tuple[Reader, ...]:
    if provider is Provider.IDENTITY:
        return (IdentityReader(),)
    if raw.kms is not None:
        return (KmsReader(raw.kms.name.text, raw.kms.api_version.text or "v1"),)
    return tuple(StaticReader(Key(provider, key.name.text, decode_secret(key.secret.text) or b"")) for key in raw.keys)
