"""Which providers a resource really gets, looked up as kube-apiserver does. Pure; judges nothing.

Order of lookup: the resource itself, all of its group, everything, and else plaintext. The provider lists of
several entries that name one resource are joined in file order, so only the first entry's first key writes.
"""

from __future__ import annotations

from keyctl.encryption_config.model import EncryptionConfig, IdentityReader, Reader, StaticReader
from keyctl.encryption_config.model import GroupResource as GroupResource
from keyctl.errors import RefusedError
from keyctl.keys.key import Key, KeyRef

# What encryption at rest is about: always required, whatever a configuration says.
SECRETS = "secrets"


ANYTHING = GroupResource("*", "*")


def covering_entries(config: EncryptionConfig, resource: str) -> tuple[int, ...]:
    """The indexes of the entries whose providers `resource` gets, in file order; none when nothing covers it."""
    wanted = GroupResource.parse(resource)
    lookup = (wanted, GroupResource("*", wanted.group), ANYTHING)
    return next((config.named[name] for name in lookup if name in config.named), ())


def holders(config: EncryptionConfig, ref: KeyRef) -> tuple[int, ...]:
    """The indexes of the entries that read with `ref`, in any place of their providers."""
    return tuple(
        index
        for index, entry in enumerate(config.entries)
        if any(reader.ref == ref for element in entry.providers for reader in element.readers)
    )


def readers(config: EncryptionConfig | None, resource: str) -> tuple[Reader, ...]:
    """Every reader of `resource` in the server's order; the first one writes. Without coverage: plaintext."""
    entries = covering_entries(config, resource) if config else ()
    if config is None or not entries:
        return (IdentityReader(),)
    return tuple(
        reader for index in entries for element in config.entries[index].providers for reader in element.readers
    )


def writer(config: EncryptionConfig | None, resource: str) -> Reader:
    """The reader under which new values of `resource` are stored."""
    entries = covering_entries(config, resource) if config else ()
    return config.entries[entries[0]].providers[0].readers[0] if config and entries else IdentityReader()


def is_covered(config: EncryptionConfig, resource: str) -> bool:
    """Whether an entry names `resource`, itself or by a wildcard."""
    return bool(covering_entries(config, resource))


def named_resources(config: EncryptionConfig) -> tuple[str, ...]:
    """The resources as written, wildcards too, each once, in file order."""
    return tuple(dict.fromkeys(text for entry in config.entries for text in entry.resources))


def required_resources(config: EncryptionConfig) -> tuple[str, ...]:
    """The resources that should hold no plaintext: those named without wildcard that are encrypted, and `secrets`."""
    named = [GroupResource.parse(text) for text in named_resources(config)]
    encrypted = [
        str(one)
        for one in named
        if one.resource and not one.is_wildcard and not isinstance(writer(config, str(one)), IdentityReader)
    ]
    return tuple(dict.fromkeys((*encrypted, SECRETS)))


def static_keys(config: EncryptionConfig) -> tuple[Key, ...]:
    """The distinct static keys in order of appearance.

    Raises `RefusedError` (rule R5) when one (provider, name) stands for two different keys.
    """
    found: dict[KeyRef, Key] = {}
    for key in all_static_keys(config):
        if found.setdefault(key.ref, key) != key:
            raise RefusedError(
                f"{key.ref} stands for two different keys in one configuration",
                cause="stored values name their key, and this name does not tell which",
                hint="rewrite the values under a key with a new name, then remove both of these",
                rule="R5",
            )
    return tuple(found.values())


def all_static_keys(config: EncryptionConfig) -> tuple[Key, ...]:
    """Every static key as often as it stands in the file."""
    return tuple(
        reader.key
        for entry in config.entries
        for element in entry.providers
        for reader in element.readers
        if isinstance(reader, StaticReader)
    )


def refs(config: EncryptionConfig) -> tuple[KeyRef, ...]:
    """Every key and plugin of the file, each once, in order of appearance."""
    readers = (reader for entry in config.entries for element in entry.providers for reader in element.readers)
    return tuple(dict.fromkeys(reader.ref for reader in readers if reader.ref.name))


def same_view(a: EncryptionConfig, b: EncryptionConfig) -> bool:
    """Whether every resource gets the same readers, in order and with the same key bytes, from `a` and from `b`."""
    names = (*named_resources(a), *named_resources(b))
    # Resources of the same entries have the same readers.
    places = {(covering_entries(a, name), covering_entries(b, name)): name for name in names}
    return all(readers(a, name) == readers(b, name) for name in places.values())
