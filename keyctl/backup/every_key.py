"""Every key there is, for every resource: to find out by which bytes the values of a backup open. Pure.

Names in a backup tell which key somebody meant; whether it opens them is found out by opening them.
"""

from __future__ import annotations

from collections.abc import Iterable

from keyctl.encryption_config import effective
from keyctl.encryption_config.model import (
    EncryptionConfig,
    IdentityReader,
    KmsReader,
    ProviderElement,
    Reader,
    ResourceEntry,
    StaticReader,
)
from keyctl.keys.interface import KeyStore
from keyctl.keys.key import Key
from keyctl.keys.ledger import KeyState


def every_key(keys: Iterable[Key], config: EncryptionConfig | None = None) -> EncryptionConfig:
    """A configuration by which every resource is read with each of `keys`, with what `config` has, and as plaintext.

    What `config` has comes first: of two keys of one name, it is the one in use.
    """
    known = () if config is None else _readers(config)
    readers: tuple[Reader, ...] = (*known, *(StaticReader(key) for key in keys))
    elements = [ProviderElement(reader.ref.provider, (reader,)) for reader in dict.fromkeys(readers)]
    plain = IdentityReader()
    elements.append(ProviderElement(plain.ref.provider, (plain,)))
    return EncryptionConfig((ResourceEntry((str(effective.ANYTHING),), tuple(elements)),))


def kept(store: KeyStore) -> tuple[Key, ...]:
    """The keys that `store` has. Raises what it raises."""
    found = (store.get(one.ref) for one in store.records() if one.state is not KeyState.DESTROYED)
    return tuple(key for key in found if key is not None)


def _readers(config: EncryptionConfig) -> tuple[Reader, ...]:
    elements = (element for entry in config.entries for element in entry.providers)
    readers = (reader for element in elements for reader in element.readers)
    return tuple(reader for reader in readers if isinstance(reader, StaticReader | KmsReader))
