"""Configurations for tests, as text, and keys whose bytes are easy to tell apart."""

from __future__ import annotations

import base64

from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.model import EncryptionConfig, IdentityReader, Reader, StaticReader
from keyctl.encryption_config.server import Server
from keyctl.keys.key import Key, Provider

HEAD = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n"


def key(name: str = "key1", fill: int = 1, provider: Provider = Provider.AESCBC) -> Key:
    """A key of 32 equal bytes."""
    return Key(provider, name, bytes([fill]) * 32)


def b64(fill: int = 1, length: int = 32) -> str:
    """The base64 text of a key of equal bytes."""
    return base64.b64encode(bytes([fill]) * length).decode()


def static(name: str = "key1", fill: int = 1, provider: str = "aescbc") -> str:
    """A provider element in flow style."""
    return f"{{{provider}: {{keys: [{{name: {name}, secret: {b64(fill)}}}]}}}}"


def entry(resources: str, *providers: str) -> str:
    """An entry in block style with flow lists inside."""
    return f"- resources: [{resources}]\n  providers: [{', '.join(providers)}]\n"


def file(*entries: str) -> bytes:
    """A whole configuration of `entries`."""
    return (HEAD + "".join(entries)).encode()


def config_of(*entries: str) -> EncryptionConfig:
    """The decoded form of `file(*entries)`."""
    return decode(file(*entries), name="enc.yaml", server=Server(kms_v1_gate=True)).config


def names(readers: tuple[Reader, ...]) -> list[str]:
    """Readers by key name, "-" for plaintext."""
    return ["-" if isinstance(reader, IdentityReader) else reader.ref.name for reader in readers]


def keys_of(config: EncryptionConfig) -> list[str]:
    """The names of all static keys, in file order."""
    return [
        reader.key.name
        for one in config.entries
        for element in one.providers
        for reader in element.readers
        if isinstance(reader, StaticReader)
    ]
