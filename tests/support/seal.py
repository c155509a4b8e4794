"""Stored values exactly as kube-apiserver writes them: objects in protobuf, sealed by each provider.

An oracle for tests: written from the layouts, and sharing no code with `keyctl.stored`.
"""

from __future__ import annotations

import os

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.padding import PKCS7
from nacl.secret import SecretBox

from keyctl.encryption_config.model import (
    EncryptionConfig,
    IdentityReader,
    KmsReader,
    ProviderElement,
    Reader,
    ResourceEntry,
    StaticReader,
)
from keyctl.keys.key import Key, Provider


def key(name: str, provider: Provider = Provider.AESCBC, fill: int = 1) -> Key:
    """A key whose 32 bytes are all `fill`."""
    return Key(provider, name, bytes([fill]) * 32)


def config(
    *readers: Key | KmsReader, resources: tuple[str, ...] = ("secrets",), identity: bool = True
) -> EncryptionConfig:
    """One entry for `resources` with `readers` in order, the first one writing; `identity` comes last."""
    all_readers: list[Reader] = [StaticReader(reader) if isinstance(reader, Key) else reader for reader in readers]
    if identity:
        all_readers.append(IdentityReader())
    elements = tuple(ProviderElement(reader.ref.provider, (reader,)) for reader in all_readers)
    return EncryptionConfig((ResourceEntry(resources, elements),))


def secret(name: str, namespace: str = "default", *, uid: str = "", size: int = 100, filler: bytes = b"x") -> bytes:
    """A Secret as stored, with `size` bytes under data.password."""
    data = _field(1, b"password") + _field(2, filler * size)
    return stored("v1", "Secret", name, namespace, uid=uid, rest=_field(2, data) + _field(3, b"Opaque"))


def config_map(name: str, namespace: str = "default", *, uid: str = "") -> bytes:
    """A ConfigMap as stored."""
    return stored("v1", "ConfigMap", name, namespace, uid=uid, rest=_field(2, _field(1, b"a") + _field(2, b"b")))


def stored(
    api_version: str,
    kind: str,
    name: str,
    namespace: str = "",
    *,
    uid: str = "",
    generate_name: str = "",
    rest: bytes = b"",
) -> bytes:
    """`k8s\\0` and runtime.Unknown around an object; `rest` is what follows its metadata."""
    uid = uid or "0f4c3a52-7f37-4c6e-9c57-1d3b2f6a9e01"
    texts = ((1, name), (2, generate_name), (3, namespace), (4, ""), (5, uid), (6, ""))
    meta = (
        b"".join(_field(number, text.encode()) for number, text in texts) + b"\x38\x00" + _field(8, b"\x08\x01\x10\0")
    )
    type_meta = _field(1, api_version.encode()) + _field(2, kind.encode())
    raw = _field(1, meta) + rest
    return b"k8s\0" + _field(1, type_meta) + _field(2, raw) + _field(3, b"") + _field(4, b"")


def seal(key: Key, etcd_key: bytes, plain: bytes) -> bytes:
    """`plain` as a server with `key` in first place stores it at `etcd_key`."""
    return f"k8s:enc:{key.provider}:v1:{key.name}:".encode() + body(key, etcd_key, plain)


def body(key: Key, etcd_key: bytes, plain: bytes) -> bytes:
    """What stands behind the head."""
    match key.provider:
        case Provider.AESCBC:
            padder = PKCS7(128).padder()
            return cbc(key, padder.update(plain) + padder.finalize())
        case Provider.AESGCM:
            nonce = os.urandom(12)
            return nonce + AESGCM(key.material).encrypt(nonce, plain, etcd_key)
        case Provider.SECRETBOX:
            return bytes(SecretBox(key.material).encrypt(plain))
        case _:
            raise ValueError(key.provider)


def cbc(key: Key, padded: bytes) -> bytes:
    """IV and AES-CBC of `padded`, whatever its padding."""
    iv = os.urandom(16)
    encryptor = Cipher(AES(key.material), CBC(iv)).encryptor()
    return iv + encryptor.update(padded) + encryptor.finalize()


def opens_by_chance(right: Key, wrong: Key, plain: bytes) -> bytes:
    """A value sealed under `right` that also has valid padding under `wrong`: about one in 256 has."""
    while True:
        sealed = seal(right, b"", plain)
        start = sealed.index(right.name.encode() + b":") + len(right.name) + 1
        decryptor = Cipher(AES(wrong.material), CBC(sealed[start : start + 16])).decryptor()
        garbage = decryptor.update(sealed[start + 16 :])
        size = garbage[-1]
        if 1 <= size <= 16 and garbage.endswith(bytes([size]) * size):
            return sealed


def seal_kms_v2(plugin: str, etcd_key: bytes, plain: bytes, *, key_id: str = "kid-1", seed: bytes = b"s" * 32) -> bytes:
    """`plain` as a server with the KMS v2 plugin `plugin` stores it; the seed is 'wrapped' by its name alone."""
    info, nonce = os.urandom(32), os.urandom(12)
    data_key = HKDFExpand(SHA256(), 32, info).derive(seed)
    encrypted = info + nonce + AESGCM(data_key).encrypt(nonce, plain, etcd_key)
    message = _field(1, encrypted) + _field(2, key_id.encode()) + _field(3, b"wrapped-seed") + b"\x28\x01"
    return f"k8s:enc:kms:v2:{plugin}:".encode() + message


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
