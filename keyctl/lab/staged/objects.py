"""Kubernetes objects as kube-apiserver stores them, in plaintext or sealed under a key of aescbc.

Written from the layouts alone: what keyctl reads them with shares no code with this. What they hold is made up.
"""

from __future__ import annotations

import os
import uuid

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from keyctl.keys.key import Key
from keyctl.lab.staged.messages import integer, text

_BLOCK_BITS, _BLOCK_BYTES = 128, 16
_UIDS = uuid.UUID("7d0f64b1-3a52-4c9e-8a0e-5b0c2f1e9d47")


def secret(namespace: str, name: str, password: str) -> bytes:
    """A Secret of type Opaque with one entry, `password`."""
    entry = text(1, b"password") + text(2, password.encode())
    return _stored("Secret", namespace, name, text(2, entry) + text(3, b"Opaque"))


def config_map(namespace: str, name: str) -> bytes:
    """A ConfigMap with one entry."""
    return _stored("ConfigMap", namespace, name, text(2, text(1, b"greeting") + text(2, b"hello")))


def sealed(key: Key, plain: bytes) -> bytes:
    """`plain` as an API server stores it whose first key is `key`, one of aescbc: head, IV, blocks."""
    padder = PKCS7(_BLOCK_BITS).padder()
    iv = os.urandom(_BLOCK_BYTES)
    encryptor = Cipher(AES(key.material), CBC(iv)).encryptor()
    head = f"k8s:enc:{key.provider}:v1:{key.name}:".encode()
    return head + iv + encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()


def _stored(kind: str, namespace: str, name: str, rest: bytes) -> bytes:
    """The head of protobuf and runtime.Unknown around the object; `rest` follows its ObjectMeta."""
    uid = str(uuid.uuid5(_UIDS, f"{kind}/{namespace}/{name}"))
    texts = ((1, name), (2, ""), (3, namespace), (4, ""), (5, uid), (6, ""))
    meta = b"".join(text(number, value.encode()) for number, value in texts) + integer(7, 0) + text(8, integer(1, 1))
    type_meta = text(1, b"v1") + text(2, kind.encode())
    return b"k8s\0" + text(1, type_meta) + text(2, text(1, meta) + rest) + text(3, b"") + text(4, b"")
