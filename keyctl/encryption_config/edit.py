"""Changes of an EncryptionConfiguration: text in, text out, everything not concerned kept byte for byte.

Each change is made twice: as a splice of the text and on the values. What the new text decodes to must equal
the values wanted, else nothing is returned. Comments, quoting and order of all other lines stay. Places no
file and knows no server.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from keyctl.documents import splice
from keyctl.encryption_config import notation
from keyctl.encryption_config.decode import Decoded, decode
from keyctl.encryption_config.effective import GroupResource, all_static_keys, covering_entries
from keyctl.encryption_config.layout import Edit, check_editable, insert_after, newline, remove, reorder
from keyctl.encryption_config.model import (
    EncryptionConfig,
    IdentityReader,
    ProviderElement,
    ResourceEntry,
    StaticReader,
)
from keyctl.errors import RefusedError, UnusableInputError
from keyctl.keys.key import Key, KeyRef, Provider

_NEW_DOCUMENT = "a new encryption configuration"
_HEADER = (
    "# Encryption at rest for kube-apiserver (--encryption-provider-config).",
    "# This file holds key bytes: keep it at mode 0600 and out of version control.",
    "# Every API server needs the same file. To change the key safely: keyctl rotate",
)


def selected_entries(config: EncryptionConfig, resources: tuple[str, ...] | None) -> tuple[int, ...]:
    """The indexes of the entries whose key changes when that of `resources` does.

    None means every entry that writes with a static key. Raises `RefusedError` when there is none, or when a
    resource has no entry that names it: changing a wildcard's key changes it for more than was asked.
    """
    if resources is None:
        found = tuple(
            index for index, entry in enumerate(config.entries) if isinstance(_first(entry), StaticReader)
        )
        if not found:
            raise RefusedError("no entry is written with a static key", hint="turn encryption on first: keyctl enable")
        return found
    selected: set[int] = set()
    for resource in resources:
        wanted = GroupResource.parse(resource)
        covering = covering_entries(config, resource)
        if not covering:
            raise RefusedError(f"no entry covers {resource}", hint=f"keyctl enable --resource {resource}")
        naming = {i for i in covering if wanted in map(GroupResource.parse, config.entries[i].resources)}
        if not naming:
            raise RefusedError(
                f"{resource} is covered only by a wildcard, in resources[{covering[0]}]",
                cause="changing that entry's key changes the key of everything it covers",
                hint=f"name the wildcard itself: {', '.join(config.entries[covering[0]].resources)}",
            )
        selected |= naming
    return tuple(sorted(selected))


def add_reader(content: bytes, key: Key, *, entries: tuple[int, ...], name: str) -> bytes:
    """`content` with `key` as a reader in each of `entries`; what writes stays.

    The key becomes the second key of the entry's first provider element when that is of its provider, else it
    gets an element of its own right after the first. An entry that holds the key already is left alone.

    Raises `RefusedError` (R5) when the name stands for other bytes anywhere in the file.
    """
    decoded = _open(content, name)
    if any(other.ref == key.ref and other != key for other in all_static_keys(decoded.config)):
        raise _ambiguous(key.ref, name)
    missing = tuple(index for index in entries if _place(decoded.config.entries[index], key.ref) is None)
    edits: list[Edit] = []
    for index in missing:
        raw = decoded.raw.entries[index]
        first = raw.providers[0]
        joins = decoded.config.entries[index].providers[0].provider is key.provider
        items, value = (
            (first.key_list, notation.key_value(key)) if joins else (raw.provider_list, notation.provider_value(key))
        )
        if items is None:
            raise RuntimeError("a provider without a list of its own was accepted")
        edits.append(
            insert_after(decoded.document, items, 0, notation.element(decoded.document, decoded.raw, items, 0, value))
        )
    return _finish(decoded, edits, _change(decoded.config, missing, lambda entry: _with_reader(entry, key)))


def promote(content: bytes, ref: KeyRef, *, entries: tuple[int, ...], name: str) -> bytes:
    """`content` with the key `ref` as the writer of each of `entries`; every reader stays.

    Raises `RefusedError` when an entry lacks the key, or holds it in a later element together with others.
    """
    decoded = _open(content, name)
    edits: list[Edit] = []
    for index in entries:
        element, position = _place_or_refuse(decoded, index, ref)
        if element and len(decoded.config.entries[index].providers[element].readers) > 1:
            raise RefusedError(
                f"{ref} shares its element with other keys, resources[{index}].providers[{element}] of {name}",
                cause="moving the element would make all of its keys readers before the present writer",
                hint="give the key an element of its own, have every API server load the file, then run this again",
            )
        edits += _move(decoded, index, element, element or position, 0)
    return _finish(decoded, edits, _change(decoded.config, entries, lambda entry: _promoted(entry, ref)))


def demote(content: bytes, ref: KeyRef, *, entries: tuple[int, ...], name: str) -> bytes:
    """`content` with the key `ref`, where it writes in one of `entries`, put back to second place.

    The inverse of `promote` on what `add_reader` made. An entry that another key writes is left alone.

    Raises `RefusedError` when an entry lacks the key or has no other reader.
    """
    decoded = _open(content, name)
    edits: list[Edit] = []
    for index in entries:
        if _place_or_refuse(decoded, index, ref) != (0, 0):
            continue
        entry = decoded.config.entries[index]
        if len(entry.providers) == 1 and len(entry.providers[0].readers) == 1:
            raise RefusedError(f"{ref} is the only reader of resources[{index}] of {name}", hint="add another key first")
        edits += _move(decoded, index, 0 if len(entry.providers[0].readers) > 1 else 1, 0, 1)
    return _finish(decoded, edits, _change(decoded.config, entries, lambda entry: _demoted(entry, ref)))


def remove_reader(content: bytes, ref: KeyRef, *, entries: tuple[int, ...], name: str) -> bytes:
    """`content` without the key `ref` in `entries`; an element left without keys goes too. Comment lines stay.

    The inverse of `add_reader`. Raises `RefusedError` when an entry lacks the key or writes with it.
    """
    decoded = _open(content, name)
    edits: list[Edit] = []
    for index in entries:
        element, position = _place_or_refuse(decoded, index, ref)
        if (element, position) == (0, 0):
            raise RefusedError(
                f"{ref} writes resources[{index}] of {name} and cannot be removed",
                hint="make another key the writer and rewrite the values first: keyctl rotate",
                rule="R3",
            )
        raw = decoded.raw.entries[index]
        keys = raw.providers[element].key_list
        items, place = (raw.provider_list, element) if keys is None or len(keys.items) == 1 else (keys, position)
        if items is None:
            raise RuntimeError("a provider without a list of its own was accepted")
        edits += remove(decoded.document, items, place)
    return _finish(decoded, edits, _change(decoded.config, entries, lambda entry: _without(entry, ref)))


def add_entry(content: bytes, resources: tuple[str, ...], key: Key, *, name: str) -> bytes:
    """`content` with one more entry for `resources`: plaintext still writes, `key` reads.

    Raises `RefusedError` when an entry covers one of them already, or (R5) when the name stands for other bytes.
    """
    decoded = _open(content, name)
    if any(other.ref == key.ref and other != key for other in all_static_keys(decoded.config)):
        raise _ambiguous(key.ref, name)
    for resource in resources:
        covering = covering_entries(decoded.config, resource)
        if covering:
            raise RefusedError(
                f"{resource} is covered already by resources[{covering[0]}] of {name}",
                hint=f"add the key to that entry: keyctl enable --resource {resource}",
            )
    items = decoded.raw.entry_list
    if items is None:
        raise RuntimeError("a configuration without entries was accepted")
    last = len(items.items) - 1
    value = _entry_value(resources, key, key_first=False)
    lines = notation.element(decoded.document, decoded.raw, items, last, value)
    wanted = EncryptionConfig((*decoded.config.entries, _entry(resources, key, key_first=False)))
    return _finish(decoded, [insert_after(decoded.document, items, last, lines)], wanted)


def new_document(resources: tuple[str, ...], key: Key, *, key_first: bool) -> bytes:
    """A whole configuration for `resources` with `key` and plaintext.

    `key_first` is True for a cluster before its first start or after `promote`; otherwise plaintext writes and
    the key only reads. Raises `UnusableInputError` when kube-apiserver would not take one of `resources`.
    """
    value: notation.Value = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [_entry_value(resources, key, key_first=key_first)],
    }
    content = "\n".join((*_HEADER, *notation.block_lines(value, notation.BlockStyle()), "")).encode()
    if decode(content, name=_NEW_DOCUMENT).config != EncryptionConfig((_entry(resources, key, key_first=key_first),)):
        raise RuntimeError("a new configuration does not mean what it should")
    return content


def _open(content: bytes, name: str) -> Decoded:
    decoded = decode(content, name=name, kms_v1=True)
    check_editable(decoded.document)
    return decoded


def _finish(decoded: Decoded, edits: list[Edit], wanted: EncryptionConfig) -> bytes:
    content = splice(decoded.text, edits).encode()
    try:
        result = decode(content, name=decoded.document.name, kms_v1=True).config
    except UnusableInputError:
        result = None
    if result != wanted:
        # Chained errors and values are left out: they would carry the text, and with it the keys.
        raise RuntimeError(f"the edit of {decoded.document.name} does not mean what it should; nothing was changed")
    return content


def _move(decoded: Decoded, index: int, element: int, source: int, target: int) -> list[Edit]:
    """Move within the keys of the first element (`element` 0), else within the provider elements."""
    raw = decoded.raw.entries[index]
    items = raw.provider_list if element else raw.providers[0].key_list
    if source == target:
        return []
    if items is None:
        raise RuntimeError("a provider without a list of its own was accepted")
    return reorder(decoded.document, items, _moved(tuple(range(len(items.items))), source, target))


def _moved[T](values: tuple[T, ...], source: int, target: int) -> tuple[T, ...]:
    rest = values[:source] + values[source + 1 :]
    return (*rest[:target], values[source], *rest[target:])
