"""An EncryptionConfiguration as values, in the server's order. Nothing here parses or judges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from keyctl.keys.key import Key, KeyRef, Provider


@dataclass(frozen=True, slots=True)
class GroupResource:
    """A resource as kube-apiserver splits it: at the first dot. "*" stands for all."""

    resource: str
    group: str

    @classmethod
    def parse(cls, text: str) -> GroupResource:
        """`secrets` and `secrets.` are one resource of the core group; `*.` is all of the core group."""
        resource, _, group = text.partition(".")
        return cls(resource, group)

    @property
    def is_wildcard(self) -> bool:
        """Whether this stands for more than one resource."""
        return self.resource == "*"

    def __str__(self) -> str:
        return f"{self.resource}.{self.group}" if self.group or self.is_wildcard else self.resource


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
    """A configuration that kube-apiserver accepts. `entries` are in file order.

    `named` says, for each resource or wildcard as written, the indexes of the entries that name it, in file order.
    """

    entries: tuple[ResourceEntry, ...]
    named: Mapping[GroupResource, tuple[int, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        named: dict[GroupResource, list[int]] = {}
        for index, entry in enumerate(self.entries):
            for name in {GroupResource.parse(text) for text in entry.resources}:
                named.setdefault(name, []).append(index)
        # Looked up for each of thousands of resources: going through the entries every time takes minutes.
        object.__setattr__(self, "named", {name: tuple(indexes) for name, indexes in named.items()})
