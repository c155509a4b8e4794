"""An EncryptionConfiguration as kube-apiserver loads and uses it: an oracle that shares no code with keyctl."""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import yaml
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.padding import PKCS7
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from keyctl.errors import UnusableInputError
from keyctl.keys.key import Key, Provider
from tests.support.seal import seal, seal_kms_v2


class InvalidConfigError(Exception):
    """A server does not start with this file, and does not reload it."""


class UnreadableError(Exception):
    """No reader opens the value."""


@dataclass(frozen=True, slots=True)
class SimReader:
    """One key in the server's order; `key` None is the identity provider."""

    key: Key | None

    def open(self, etcd_key: bytes, value: bytes) -> bytes | None:
        """The plaintext; None when the value is not this reader's or does not open."""
        if self.key is None:
            return None if value.startswith(b"k8s:enc:") else value
        head = f"k8s:enc:{self.key.provider}:v1:{self.key.name}:".encode()
        if not value.startswith(head):
            return None
        try:
            return _decrypt(self.key, etcd_key, value[len(head) :])
        except (InvalidTag, CryptoError, ValueError):
            return None

    def seal(self, etcd_key: bytes, plain: bytes) -> bytes:
        return plain if self.key is None else seal(self.key, etcd_key, plain)


@dataclass(frozen=True, slots=True)
class SimPlugin:
    """A KMS v2 plugin that always answers. Its seed comes from its name, so another name opens nothing of it.

    With `another_key` it is one that has, under the same name and id, another seed than those of other hosts.
    """

    name: str
    another_key: str = field(default="", compare=False)

    def open(self, etcd_key: bytes, value: bytes) -> bytes | None:
        """See `SimReader.open`."""
        head = f"k8s:enc:kms:v2:{self.name}:".encode()
        if not value.startswith(head):
            return None
        try:
            data = _encrypted_data(value[len(head) :])
            data_key = HKDFExpand(SHA256(), 32, data[:32]).derive(self._seed)
            return AESGCM(data_key).decrypt(data[32:44], data[44:], etcd_key)
        except (InvalidTag, IndexError, ValueError):
            return None

    def seal(self, etcd_key: bytes, plain: bytes) -> bytes:
        return seal_kms_v2(self.name, etcd_key, plain, seed=self._seed)

    @property
    def _seed(self) -> bytes:
        return hashlib.sha256((self.name + self.another_key).encode()).digest()


Reader = SimReader | SimPlugin
_IDENTITY = SimReader(None)


@dataclass(frozen=True, slots=True)
class SimConfig:
    """What a server has in memory. No entries: it encrypts nothing."""

    entries: tuple[tuple[tuple[str, ...], tuple[Reader, ...]], ...] = ()
    sha256: str | None = None
    content: bytes = field(default=b"", repr=False)

    def readers(self, resource: str | None) -> tuple[Reader, ...]:
        """The readers of `resource`; None stands for what no REST API serves, which is always plaintext."""
        if resource is None:
            return (_IDENTITY,)
        group = resource.partition(".")[2]
        for name in (resource, f"*.{group}", "*.*"):
            found = tuple(reader for resources, readers in self.entries if name in resources for reader in readers)
            if found:
                return found
        return (_IDENTITY,)

    def open(self, resource: str | None, etcd_key: bytes, value: bytes) -> tuple[bytes, bool]:
        """The plaintext, and whether the value is stale: opened by another reader than the first."""
        for place, reader in enumerate(self.readers(resource)):
            plain = reader.open(etcd_key, value)
            if plain is not None:
                return plain, place > 0
        raise UnreadableError(etcd_key.decode())

    def seal(self, resource: str | None, etcd_key: bytes, plain: bytes) -> bytes:
        return self.readers(resource)[0].seal(etcd_key, plain)

    def plugins(self) -> frozenset[str]:
        return frozenset(
            reader.name for _, readers in self.entries for reader in readers if isinstance(reader, SimPlugin)
        )

    def with_keys(self, plugins: Mapping[str, str]) -> SimConfig:
        """The same on a host on which `plugins` have keys of their own, by name; "" is the one that others have."""
        entries = tuple((names, tuple(_with_key(one, plugins) for one in readers)) for names, readers in self.entries)
        return replace(self, entries=entries)

    def named(self) -> frozenset[str]:
        return frozenset(resource for resources, _ in self.entries for resource in resources)


def _with_key(reader: Reader, plugins: Mapping[str, str]) -> Reader:
    if not isinstance(reader, SimPlugin):
        return reader
    return SimPlugin(reader.name, plugins.get(reader.name, ""))


@functools.lru_cache(maxsize=512)
def load(content: bytes, sha256: str) -> SimConfig:
    """The configuration in `content`, whose hash is `sha256`. Raises `InvalidConfigError`."""
    try:
        document = yaml.safe_load(content)
        entries = tuple(
            (tuple(entry["resources"]), tuple(reader for item in entry["providers"] for reader in _readers(item)))
            for entry in document["resources"]
        )
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError, binascii.Error, UnusableInputError):
        raise InvalidConfigError from None
    if not entries or not all(readers for _, readers in entries):
        raise InvalidConfigError
    return SimConfig(entries, sha256, content)


def _readers(item: dict[str, object]) -> tuple[Reader, ...]:
    (element,) = item.items()
    match element:
        case "identity", _:
            return (_IDENTITY,)
        case "kms", {"apiVersion": "v2", "name": str(name), "endpoint": str()}:
            return (SimPlugin(name),)
        case provider, {"keys": [*keys]}:
            return tuple(
                SimReader(Key(Provider(provider), key["name"], base64.b64decode(key["secret"]))) for key in keys
            )
        case _:
            raise ValueError(element[0])


def _encrypted_data(message: bytes) -> bytes:
    """The first field of an EncryptedObject: tag 1, its size as a varint, and then the data."""
    size, at, more = 0, 1, message[0] == 0x0A
    while more:
        size |= (message[at] & 0x7F) << 7 * (at - 1)
        more, at = message[at] > 0x7F, at + 1
    return message[at : at + size]


def _decrypt(key: Key, etcd_key: bytes, body: bytes) -> bytes:
    match key.provider:
        case Provider.AESCBC:
            decryptor = Cipher(AES(key.material), CBC(body[:16])).decryptor()
            unpadder = PKCS7(128).unpadder()
            padded = decryptor.update(body[16:]) + decryptor.finalize()
            return unpadder.update(padded) + unpadder.finalize()
        case Provider.AESGCM:
            return AESGCM(key.material).decrypt(body[:12], body[12:], etcd_key)
        case Provider.SECRETBOX:
            return bytes(SecretBox(key.material).decrypt(body))
        case _:
            raise ValueError(key.provider)
