"""Changes of an EncryptionConfiguration: text in, text out, everything not concerned kept byte for byte.

Each change is made twice: as a splice of the text and on the values. What the new text decodes to must equal
the values wanted, else nothing is returned. Comments, quoting and order of all other lines stay. Places no
file and knows no server.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from keyctl.documents import Sequence, splice
from keyctl.encryption_config.decode import Decoded, decode
from keyctl.encryption_config.editing import changes, notation
from keyctl.encryption_config.editing.layout import Edit, check_editable, insert_after, remove, reorder
from keyctl.encryption_config.effective import GroupResource, all_static_keys, covering_entries, holders
from keyctl.encryption_config.model import EncryptionConfig, IdentityReader, StaticReader
from keyctl.encryption_config.plugin import Plugin, Writer
from keyctl.encryption_config.server import Server
from keyctl.errors import RefusedError, UnusableInputError
from keyctl.keys.key import Key, KeyRef, Provider

# An edit changes nothing about KMS v1, whether a server still loads it or not.
_ANY_SERVER = Server(kms_v1_gate=True)

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
            index
            for index, entry in enumerate(config.entries)
            if isinstance(entry.providers[0].readers[0], StaticReader)
        )
        if not found:
            raise RefusedError(
                "no entry is written with a static key",
                cause=f"the first provider of every entry ({len(config.entries)}) is identity or a KMS plugin",
                hint="turn encryption on first: keyctl enable",
                rule="preflight",
            )
        return found
    selected: set[int] = set()
    for resource in resources:
        wanted = GroupResource.parse(resource)
        covering = covering_entries(config, resource)
        if not covering:
            raise RefusedError(
                f"no entry covers {resource}",
                cause=f"the file names {', '.join(text for entry in config.entries for text in entry.resources)}",
                hint="keyctl enable adds an entry for it",
                rule="preflight",
            )
        naming = {i for i in covering if wanted in map(GroupResource.parse, config.entries[i].resources)}
        if not naming:
            raise RefusedError(
                f"{resource} is covered only by a wildcard, in resources[{covering[0]}]",
                cause="changing that entry's key changes the key of everything it covers",
                hint=f"name the wildcard itself: {', '.join(config.entries[covering[0]].resources)}",
                rule="preflight",
            )
        selected |= naming
    return tuple(sorted(selected))


def add_reader(
    content: bytes, key: Writer, *, entries: tuple[int, ...], name: str, beside: KeyRef | None = None
) -> bytes:
    """`content` with `key` as a reader in each of `entries`; what writes stays.

    Where the entry holds `beside`, a key of the same provider, the new one comes right behind it. Else it becomes
    the second key of the entry's first provider element when that is of its provider, or gets an element of its own
    right after the first, as a plugin always does. An entry that holds the key already is left alone.

    Raises `RefusedError` (R5) when the name stands for other bytes anywhere in the file.
    """
    decoded = _open(content, name)
    _check_name_is_free(decoded, key)
    missing = _without(decoded.config, key.ref, entries)
    edits: list[Edit] = []
    for index in missing:
        raw = decoded.raw.entries[index]
        entry = decoded.config.entries[index]
        element, position = (changes.place_of(entry, beside) if beside is not None else None) or (0, 0)
        joins = isinstance(key, Key) and entry.providers[element].provider is key.provider
        items = _there(raw.providers[element].key_list if joins else raw.provider_list)
        value = notation.key_value(key) if joins and isinstance(key, Key) else notation.provider_value(key)
        lines = notation.element(decoded.document, decoded.raw, items, position, value)
        edits.append(insert_after(decoded.document, items, position, lines))
    wanted = changes.change(decoded.config, missing, lambda entry: changes.with_reader(entry, key, beside))
    return _finish(decoded, edits, wanted)


def add_identity(content: bytes, *, entries: tuple[int, ...], name: str) -> bytes:
    """`content` with plaintext as a reader in each of `entries`: an element right after the first; what writes stays.

    An entry that reads plaintext already is left alone.
    """
    decoded = _open(content, name)
    missing = _without(decoded.config, IdentityReader().ref, entries)
    edits: list[Edit] = []
    for index in missing:
        items = _there(decoded.raw.entries[index].provider_list)
        lines = notation.element(decoded.document, decoded.raw, items, 0, notation.PLAINTEXT)
        edits.append(insert_after(decoded.document, items, 0, lines))
    return _finish(decoded, edits, changes.change(decoded.config, missing, changes.with_identity))


def promote(content: bytes, ref: KeyRef, *, entries: tuple[int, ...], name: str) -> bytes:
    """`content` with the reader `ref` (a key, or plaintext) as the writer of each of `entries`; every reader stays.

    Raises `RefusedError` when an entry lacks it, or holds it in a later element together with others.
    """
    decoded = _open(content, name)
    edits: list[Edit] = []
    for index in entries:
        element, position = _place_or_refuse(decoded, index, ref)
        if element and _is_shared(decoded, index, element):
            raise RefusedError(
                f"{ref} shares its element with other keys, resources[{index}].providers[{element}] of {name}",
                cause="moving the element would make all of its keys readers before the present writer",
                hint="give the key an element of its own, have every API server load the file, then run this again",
            )
        raw = decoded.raw.entries[index]
        if element:
            edits += _move(decoded, _there(raw.provider_list), element, 0)
        elif position:
            edits += _move(decoded, _there(raw.providers[0].key_list), position, 0)
    wanted = changes.change(decoded.config, entries, lambda entry: changes.promoted(entry, ref))
    return _finish(decoded, edits, wanted)


def demote(
    content: bytes, ref: KeyRef, *, entries: tuple[int, ...], name: str, places: Mapping[int, int] | None = None
) -> bytes:
    """`content` with the reader `ref`, where it writes in one of `entries`, put back behind what wrote before it.

    A key among others goes to second place in its element. An element of its own goes to the place that `places`
    gives for its entry, counted from 0; to second place when it gives none. So this is the inverse of `promote`.
    An entry that another reader writes is left alone.

    Raises `RefusedError` when an entry lacks `ref` or has no other reader, `ValueError` for a place that would
    leave it the writer or that the entry does not have.
    """
    decoded = _open(content, name)
    edits: list[Edit] = []
    wanted = decoded.config
    for index in entries:
        if _place_or_refuse(decoded, index, ref) != (0, 0):
            continue
        raw = decoded.raw.entries[index]
        shared = _is_shared(decoded, index, 0)
        items = _there(raw.providers[0].key_list if shared else raw.provider_list)
        if len(items.items) == 1:
            raise RefusedError(
                f"{ref} is the only reader of resources[{index}] of {name}", hint="add the key that is to write first"
            )
        place = 1 if shared or places is None else places.get(index, 1)
        if not 0 < place < len(items.items):
            raise ValueError(f"resources[{index}] has no place {place} to go back to")
        edits += _move(decoded, items, 0, place)
        wanted = changes.change(wanted, (index,), partial(changes.demoted, ref=ref, place=place))
    return _finish(decoded, edits, wanted)


def remove_reader(content: bytes, ref: KeyRef, *, entries: tuple[int, ...], name: str) -> bytes:
    """`content` without the reader `ref` in `entries`, however often it stands there; comment lines stay.

    An element left without keys goes too. The inverse of `add_reader` and `add_identity`.

    Raises `RefusedError` when an entry lacks the reader or writes with it.
    """
    decoded = _open(content, name)
    edits: list[Edit] = []
    for index in entries:
        element, position = _place_or_refuse(decoded, index, ref)
        if (element, position) == (0, 0):
            raise _writes(ref, index, name)
        raw = decoded.raw.entries[index]
        if _is_shared(decoded, index, element):
            edits += remove(decoded.document, _there(raw.providers[element].key_list), position)
        else:
            edits += remove(decoded.document, _there(raw.provider_list), element)
    wanted = changes.change(decoded.config, entries, lambda entry: changes.without(entry, ref))
    removed = _finish(decoded, edits, wanted)
    # A server takes the same key twice in one entry; the removal of one of two would be none.
    left = tuple(index for index in holders(wanted, ref) if index in entries)
    return remove_reader(removed, ref, entries=left, name=name) if left else removed


def add_entry(content: bytes, resources: tuple[str, ...], key: Key, *, name: str) -> bytes:
    """`content` with one more entry for `resources`: plaintext still writes, `key` reads.

    Raises `RefusedError` when an entry covers one of them already, or (R5) when the name stands for other bytes.
    """
    decoded = _open(content, name)
    _check_name_is_free(decoded, key)
    for resource in resources:
        covering = covering_entries(decoded.config, resource)
        if covering:
            raise RefusedError(
                f"{resource} is covered already by resources[{covering[0]}] of {name}",
                hint="add the key to that entry instead: keyctl rotate, or keyctl enable when plaintext writes there",
            )
    items = _there(decoded.raw.entry_list)
    last = len(items.items) - 1
    value = _entry_value(resources, key, key_first=False)
    lines = notation.element(decoded.document, decoded.raw, items, last, value)
    wanted = EncryptionConfig((*decoded.config.entries, changes.new_entry(resources, key, key_first=False)))
    return _finish(decoded, [insert_after(decoded.document, items, last, lines)], wanted)


def remove_entry(content: bytes, index: int, *, name: str) -> bytes:
    """`content` without the whole entry at `index`, counted from 0; comment lines around it stay.

    The inverse of `add_entry`. Raises `RefusedError` when it is the only entry, or (R3) a key writes it.
    """
    decoded = _open(content, name)
    writer = decoded.config.entries[index].providers[0].readers[0]
    if not isinstance(writer, IdentityReader):
        raise _writes(writer.ref, index, name)
    if len(decoded.config.entries) == 1:
        raise RefusedError(
            f"resources[{index}] is the only entry of {name}",
            cause="kube-apiserver takes no configuration without entries",
            hint="leave the entry: with plaintext first it encrypts nothing",
        )
    edits = remove(decoded.document, _there(decoded.raw.entry_list), index)
    return _finish(decoded, edits, changes.without_entry(decoded.config, index))


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
    wanted = EncryptionConfig((changes.new_entry(resources, key, key_first=key_first),))
    if decode(content, name=_NEW_DOCUMENT).config != wanted:
        raise RuntimeError("a new configuration does not mean what it should")
    return content


def provider_element(key: Key) -> bytes:
    """One element of a `providers` list that holds only `key`, under a line that says what it is."""
    head = "# An element of `providers` in an EncryptionConfiguration. It holds key bytes: keep it at mode 0600."
    return "\n".join((head, *notation.block_lines((notation.provider_value(key),), notation.BlockStyle()), "")).encode()


def _open(content: bytes, name: str) -> Decoded:
    decoded = decode(content, name=name, server=_ANY_SERVER)
    check_editable(decoded.document)
    return decoded


def _finish(decoded: Decoded, edits: list[Edit], wanted: EncryptionConfig) -> bytes:
    content = splice(decoded.text, edits).encode()
    try:
        result = decode(content, name=decoded.document.name, server=_ANY_SERVER).config
    except UnusableInputError:
        result = None
    if result != wanted:
        # Chained errors and values are left out: they would carry the text, and with it the keys.
        raise RuntimeError(f"the edit of {decoded.document.name} does not mean what it should; nothing was changed")
    return content


def _move(decoded: Decoded, items: Sequence, source: int, target: int) -> list[Edit]:
    return reorder(decoded.document, items, changes.moved(tuple(range(len(items.items))), source, target))


def _there(items: Sequence | None) -> Sequence:
    if items is None:
        raise RuntimeError("an empty list was accepted")
    return items


def _without(config: EncryptionConfig, ref: KeyRef, entries: tuple[int, ...]) -> tuple[int, ...]:
    holding = holders(config, ref)
    return tuple(index for index in entries if index not in holding)


def _is_shared(decoded: Decoded, index: int, element: int) -> bool:
    return len(decoded.config.entries[index].providers[element].readers) > 1


def _entry_value(resources: tuple[str, ...], key: Key, *, key_first: bool) -> notation.Value:
    both = (notation.provider_value(key), notation.PLAINTEXT)
    return {"resources": resources, "providers": both if key_first else both[::-1]}


def _check_name_is_free(decoded: Decoded, key: Writer) -> None:
    if isinstance(key, Plugin):
        return
    if any(other.ref == key.ref and other != key for other in all_static_keys(decoded.config)):
        raise _ambiguous(key.ref, decoded.document.name)


def _place_or_refuse(decoded: Decoded, index: int, ref: KeyRef) -> tuple[int, int]:
    if len({key for key in all_static_keys(decoded.config) if key.ref == ref}) > 1:
        raise _ambiguous(ref, decoded.document.name)
    place = changes.place_of(decoded.config.entries[index], ref)
    if place is None:
        raise RefusedError(
            f"resources[{index}] of {decoded.document.name} has no {'key ' if ref.name else ''}{ref}",
            hint="look into the file: what an entry reads stands under its providers",
        )
    return place


def _writes(ref: KeyRef, index: int, name: str) -> RefusedError:
    return RefusedError(
        f"{ref} writes resources[{index}] of {name} and cannot be removed",
        hint="make another key the writer and rewrite the values first: keyctl "
        + ("enable" if ref.provider is Provider.IDENTITY else "rotate"),
        rule="R3",
    )


def _ambiguous(ref: KeyRef, name: str) -> RefusedError:
    return RefusedError(
        f"{ref} stands for other key bytes in {name}",
        cause="a name means the same key bytes for ever: stored values name their key",
        hint="give the new key a name that was never used",
        rule="R5",
    )
