"""The text of one server's configuration file at each stage. Key bytes pass through here and stay here."""

from __future__ import annotations

from keyctl.encryption_config import edit, effective
from keyctl.encryption_config.decode import decode, hash_of
from keyctl.encryption_config.model import EncryptionConfig, IdentityReader
from keyctl.errors import RefusedError
from keyctl.keys.key import Key
from keyctl.rotation.plan import Goal, Stage


def entries_to_change(
    config: EncryptionConfig | None, resources: tuple[str, ...] | None, goal: Goal
) -> tuple[int, ...]:
    """The entries of the file that get the new key; entries that `enable` has yet to append are not among them.

    Raises `RefusedError` when the goal does not fit the file.
    """
    if goal is Goal.ROTATE:
        if config is None:
            raise RefusedError("this cluster encrypts nothing yet", hint="turn it on first: keyctl enable")
        return edit.selected_entries(config, resources)
    if config is None or not resources:
        return ()
    for resource in resources:
        writer = effective.writer(config, resource)
        if not isinstance(writer, IdentityReader):
            raise RefusedError(
                f"{resource} is encrypted already: {writer.ref} writes it", hint="to change the key: keyctl rotate"
            )
    covered = tuple(resource for resource in resources if effective.is_covered(config, resource))
    return edit.selected_entries(config, covered) if covered else ()


def added(base: bytes | None, key: Key, *, resources: tuple[str, ...], entries: tuple[int, ...], name: str) -> bytes:
    """The file of stage ADDED: `key` reads, nothing else changes (R2)."""
    if base is None:
        return edit.new_document(resources, key, key_first=False)
    content = edit.add_reader(base, key, entries=entries, name=name) if entries else base
    config = decode(base, name=name).config
    missing = tuple(resource for resource in resources if not effective.is_covered(config, resource))
    return edit.add_entry(content, missing, key, name=name) if missing else content


def promoted(content: bytes, key: Key, *, name: str) -> bytes:
    """The file of stage PROMOTED: `key` writes, every reader stays."""
    return edit.promote(content, key.ref, entries=entries_with(decode(content, name=name).config, key), name=name)


def entries_with(config: EncryptionConfig, key: Key) -> tuple[int, ...]:
    """The entries that hold `key`."""
    return tuple(
        index
        for index, entry in enumerate(config.entries)
        if any(reader.ref == key.ref for element in entry.providers for reader in element.readers)
    )


def next_file(
    current: bytes | None, stage: Stage, key: Key, *, resources: tuple[str, ...], entries: tuple[int, ...], name: str
) -> bytes:
    """The file of `stage`, made from the one of the stage before. `RuntimeError` for BASE, which is never written."""
    if stage is Stage.ADDED:
        return added(current, key, resources=resources, entries=entries, name=name)
    if stage is Stage.PROMOTED and current is not None:
        return promoted(current, key, name=name)
    raise RuntimeError(f"no way to write stage {stage.name} from here")


def hashes(
    base: bytes | None, key: Key, *, resources: tuple[str, ...], entries: tuple[int, ...], name: str
) -> tuple[str | None, str, str]:
    """The file of each stage, as the hash that the server will report."""
    second = added(base, key, resources=resources, entries=entries, name=name)
    return (None if base is None else hash_of(base), hash_of(second), hash_of(promoted(second, key, name=name)))
