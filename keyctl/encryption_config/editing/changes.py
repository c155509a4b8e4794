"""What each edit means, on values: the entry before → the entry after. `edit` does the same to the text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from keyctl.encryption_config.model import (
    EncryptionConfig,
    IdentityReader,
    ProviderElement,
    Reader,
    ResourceEntry,
    StaticReader,
)
from keyctl.encryption_config.plugin import Plugin, Writer
from keyctl.keys.key import Key, KeyRef, Provider

T = TypeVar("T")


def change(
    config: EncryptionConfig, entries: tuple[int, ...], act: Callable[[ResourceEntry], ResourceEntry]
) -> EncryptionConfig:
    """`config` with `act` done to each of `entries`."""
    return EncryptionConfig(
        tuple(act(entry) if index in entries else entry for index, entry in enumerate(config.entries))
    )


def place_of(entry: ResourceEntry, ref: KeyRef) -> tuple[int, int] | None:
    """The first (provider element, reader in it) that is `ref`."""
    for i, element in enumerate(entry.providers):
        for j, reader in enumerate(element.readers):
            if reader.ref == ref:
                return i, j
    return None


def moved(values: tuple[T, ...], source: int, target: int) -> tuple[T, ...]:
    """`values` with the one at `source` taken out and put at `target`."""
    rest = values[:source] + values[source + 1 :]
    return (*rest[:target], values[source], *rest[target:])


def with_reader(entry: ResourceEntry, key: Writer, beside: KeyRef | None = None) -> ResourceEntry:
    """`key` right behind `beside`, else second: in the first element when that is of its provider, or after it.

    A plugin always has an element of its own.
    """
    if isinstance(key, Plugin):
        first, *rest = entry.providers
        return replace(entry, providers=(first, ProviderElement(key.provider, (key.reader,)), *rest))
    place = None if beside is None else place_of(entry, beside)
    if place is not None:
        readers = entry.providers[place[0]].readers
        return _with_readers(entry, place[0], (*readers[: place[1] + 1], StaticReader(key), *readers[place[1] + 1 :]))
    first, *rest = entry.providers
    reader = StaticReader(key)
    if first.provider is key.provider:
        joined = replace(first, readers=(first.readers[0], reader, *first.readers[1:]))
        return replace(entry, providers=(joined, *rest))
    return replace(entry, providers=(first, ProviderElement(key.provider, (reader,)), *rest))


def with_identity(entry: ResourceEntry) -> ResourceEntry:
    """Plaintext as the second element."""
    first, *rest = entry.providers
    return replace(entry, providers=(first, _plaintext(), *rest))


def promoted(entry: ResourceEntry, ref: KeyRef) -> ResourceEntry:
    """`ref` first: its key within the first element, or its whole element."""
    element, position = _place(entry, ref)
    if element:
        return replace(entry, providers=moved(entry.providers, element, 0))
    return _with_readers(entry, 0, moved(entry.providers[0].readers, position, 0))


def demoted(entry: ResourceEntry, ref: KeyRef, *, place: int = 1) -> ResourceEntry:
    """`ref` from first place to the second of its element, or its whole element to `place`.

    As it is when another reader is first.
    """
    if _place(entry, ref) != (0, 0):
        return entry
    readers = entry.providers[0].readers
    if len(readers) > 1:
        return _with_readers(entry, 0, moved(readers, 0, 1))
    return replace(entry, providers=moved(entry.providers, 0, place))


def without(entry: ResourceEntry, ref: KeyRef) -> ResourceEntry:
    """`ref` gone from where it stands first, and its element with it when that held nothing else."""
    element, position = _place(entry, ref)
    readers = entry.providers[element].readers
    if len(readers) > 1:
        return _with_readers(entry, element, readers[:position] + readers[position + 1 :])
    return replace(entry, providers=entry.providers[:element] + entry.providers[element + 1 :])


def new_entry(resources: tuple[str, ...], key: Key, *, key_first: bool) -> ResourceEntry:
    """An entry with `key` and plaintext."""
    encrypted = ProviderElement(key.provider, (StaticReader(key),))
    return ResourceEntry(resources, (encrypted, _plaintext()) if key_first else (_plaintext(), encrypted))


def without_entry(config: EncryptionConfig, index: int) -> EncryptionConfig:
    """`config` without its entry at `index`."""
    return EncryptionConfig(config.entries[:index] + config.entries[index + 1 :])


def _plaintext() -> ProviderElement:
    return ProviderElement(Provider.IDENTITY, (IdentityReader(),))


def _place(entry: ResourceEntry, ref: KeyRef) -> tuple[int, int]:
    found = place_of(entry, ref)
    if found is None:
        raise ValueError(f"the entry has no {ref}")
    return found


def _with_readers(entry: ResourceEntry, element: int, readers: tuple[Reader, ...]) -> ResourceEntry:
    changed = replace(entry.providers[element], readers=readers)
    return replace(entry, providers=(*entry.providers[:element], changed, *entry.providers[element + 1 :]))
