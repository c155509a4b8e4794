"""The key value and the table of providers that use one.

Pure: no file, clock or randomness. A new provider with a static key is one row
of `STATIC_PROVIDERS`, one function in `keyctl.stored.decrypt` and one field in
`keyctl.encryption_config`.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from enum import StrEnum

from keyctl.errors import UnusableInputError


class Provider(StrEnum):
    """The providers of an EncryptionConfiguration, by their field names there."""

    AESCBC = "aescbc"
    AESGCM = "aesgcm"
    SECRETBOX = "secretbox"
    KMS = "kms"
    IDENTITY = "identity"


# Decoded key lengths that kube-apiserver accepts, in bytes; the first is the one keyctl generates.
# Source: k8s.io/apiserver pkg/apis/apiserver/validation/validation_encryption.go.
STATIC_PROVIDERS: dict[Provider, tuple[int, ...]] = {
    Provider.AESCBC: (32, 16, 24),
    Provider.AESGCM: (32, 16, 24),
    Provider.SECRETBOX: (32,),
}

_FINGERPRINT_LABEL = b"keyctl/fingerprint/v1"


@dataclass(frozen=True, slots=True, order=True)
class KeyRef:
    """A key by name, without its bytes: (provider, name) means the same bytes for ever (rule R5)."""

    provider: Provider
    name: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.name}" if self.name else str(self.provider)


@dataclass(frozen=True, slots=True)
class Key:
    """A named symmetric key of one provider. The material never shows in a repr or a log.

    Raises `UnusableInputError` when the provider takes no static key, the name is
    empty, or the material has a length that kube-apiserver refuses.
    """

    provider: Provider
    name: str
    material: bytes = field(repr=False)

    def __post_init__(self) -> None:
        lengths = STATIC_PROVIDERS.get(self.provider)
        if lengths is None:
            raise UnusableInputError(f"provider {self.provider} takes no static key")
        if not self.name:
            raise UnusableInputError(f"a key of provider {self.provider} has no name")
        if len(self.material) not in lengths:
            takes = " or ".join(str(length) for length in sorted(lengths))
            raise UnusableInputError(
                f'key "{self.name}" has {len(self.material)} bytes; {self.provider} takes {takes}',
                hint="keyctl makes keys of the right length: keyctl rotate, or keyctl config new",
            )

    @property
    def ref(self) -> KeyRef:
        """Provider and name."""
        return KeyRef(self.provider, self.name)

    @property
    def fingerprint(self) -> str:
        """32 hex digits that identify the bytes and reveal nothing of a random key.

        HMAC-SHA-256 under the key itself, so it is no plain hash of the key that
        others may hold in a table. Bound to the provider: the same bytes under
        two providers have two fingerprints.
        """
        return hmac.new(self.material, _FINGERPRINT_LABEL + b"\0" + self.provider.encode(), hashlib.sha256).hexdigest()[
            :32
        ]
