"""An EncryptionConfiguration as values, in the server's order. Nothing here parses or judges."""

from __future__ import annotations

from dataclasses import dataclass

from keyctl.keys.key import Key, KeyRef, Provider


@dataclass(frozen=True, slots=True)
class StaticReader:
    """A static key that opens (and, when first, seals) values."""

    key: Key

    @property
    def ref(self) -> KeyRef:
        """Provider and key name."""
        return self.key.ref


@dataclass(frozen=True, slots=True)
class KmsReader:
    """A KMS plugin. `version` is "v1" or "v2"; keyctl cannot open its values itself (rule R16)."""

    name: str
    version: str

    @property
    def ref(self) -> KeyRef:
        """Provider and plugin name."""
        return KeyRef(Provider.KMS, self.name)


@dataclass(frozen=True, slots=True)
class IdentityReader:
    """Plaintext."""

    @property
    def ref(self) -> KeyRef:
        """The identity provider, which has no key."""
        return KeyRef(Provider.IDENTITY, "")


Reader = StaticReader | KmsReader | IdentityReader


@dataclass(frozen=True, slots=True)
class ProviderElement:
    """One element of a `providers` list; `readers` holds its keys in order (one for kms and identity)."""

    provider: Provider
    readers: tuple[Reader, ...]


@dataclass(frozen=True, slots=True)
class ResourceEntry:
    """One element of the top `resources` list."""

    resources: tuple[str, ...]
    providers: tuple[ProviderElement, ...]


@dataclass(frozen=True, slots=True)
class EncryptionConfig:
    """A configuration that kube-apiserver accepts. `entries` are in file order."""

    entries: tuple[ResourceEntry, ...]
