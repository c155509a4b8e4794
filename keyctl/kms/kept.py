"""A sealed value that is kept in a file, to be opened on a later day. Pure: text → value → text.

Holds what kube-apiserver would store: the ciphertext, its key id and annotations. Of the random bytes that were sealed
it has the SHA-256 only.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from keyctl.errors import UnusableInputError
from keyctl.kms.interface import Sealed

_API_VERSION = "keyctl/v1"
_KIND = "KmsProbe"


@dataclass(frozen=True, slots=True)
class Kept:
    """`sealed` opens to bytes with this SHA-256, in hex. `name` is the file's, `at` when it was made, in ISO 8601."""

    name: str
    endpoint: str
    at: str
    sealed: Sealed
    sha256: str

    def opens_to(self, plaintext: bytes) -> bool:
        """Whether `plaintext` is what was sealed."""
        return hashlib.sha256(plaintext).hexdigest() == self.sha256

    def to_text(self) -> str:
        """The file."""
        fields = {
            "apiVersion": _API_VERSION,
            "kind": _KIND,
            "endpoint": self.endpoint,
            "sealedAt": self.at,
            "keyId": self.sealed.key_id,
            "ciphertext": base64.b64encode(self.sealed.ciphertext).decode(),
            "annotations": {
                name: base64.b64encode(value).decode() for name, value in sorted(self.sealed.annotations.items())
            },
            "plaintextSha256": self.sha256,
        }
        return json.dumps(fields, indent=2) + "\n"


def keep(seed: bytes, sealed: Sealed, *, name: str, endpoint: str, at: str) -> Kept:
    """`seed` as `sealed`, to be kept; the seed itself is not."""
    return Kept(name, endpoint, at, sealed, hashlib.sha256(seed).hexdigest())


def parse(content: bytes, name: str) -> Kept:
    """The inverse of `Kept.to_text`. Raises `UnusableInputError` for anything else."""
    try:
        fields = json.loads(content)
        if not isinstance(fields, Mapping) or (fields.get("apiVersion"), fields.get("kind")) != (_API_VERSION, _KIND):
            raise ValueError("no probe")
        annotations = fields["annotations"]
        sealed = Sealed(
            _bytes(fields["ciphertext"]),
            _text(fields["keyId"]),
            {_text(key): _bytes(value) for key, value in annotations.items()},
        )
        return Kept(
            name, _text(fields["endpoint"]), _text(fields["sealedAt"]), sealed, _text(fields["plaintextSha256"])
        )
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError, binascii.Error) as error:
        raise UnusableInputError(
            f"{name} is not a value that a plugin sealed for keyctl",
            hint="such a file is written by: keyctl kms check unix:///run/kms.sock --keep FILE",
        ) from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _bytes(value: object) -> bytes:
    return base64.b64decode(_text(value), validate=True)
