"""The bytes that write under another name, which must never have stood for any others (rule R5). Changes nothing."""

from __future__ import annotations

from keyctl.encryption_config import effective
from keyctl.encryption_config.model import EncryptionConfig, StaticReader
from keyctl.errors import RefusedError
from keyctl.keys.key import Key
from keyctl.keys.ledger import KeyState
from keyctl.rotation.world import World


def renamed(world: World, config: EncryptionConfig | None, entries: tuple[int, ...], name: str) -> Key:
    """The key that writes all of `entries`, as `name`.

    Raises `RefusedError` (R5) where no one key does, or where the name is taken.
    """
    writer = writer_of(config, entries)
    if writer is None:
        raise RefusedError(
            "not one key writes all of this, so there is none to give another name",
            cause=f"entries that change: {len(entries)}",
            hint="say which entry with --resources",
            rule="R5",
        )
    found = Key(writer.provider, name, writer.material)
    # NOTE: a run that was cut off before anything was planned has left it in the store, unused.
    used = {record.ref for record in world.store.records() if record.state is not KeyState.PRE_ACTIVATION}
    known = world.store.get(found.ref)
    in_files = () if config is None else effective.refs(config)
    where = (
        "the servers' files"
        if found.ref in in_files
        else f"the key store at {world.store.location}"
        if found.ref in used or (known is not None and known.fingerprint != found.fingerprint)
        else None
    )
    if where is not None:
        raise RefusedError(
            f"the name {found.ref} is taken",
            cause=f"it is in {where}",
            hint="choose a name that was never used",
            rule="R5",
        )
    return found


def writer_of(config: EncryptionConfig | None, entries: tuple[int, ...]) -> Key | None:
    """The static key that writes all of `entries`; None where there is not exactly one."""
    first = [] if config is None else [config.entries[index].providers[0].readers[0] for index in entries]
    keys = {reader.ref: reader.key if isinstance(reader, StaticReader) else None for reader in first}
    return next(iter(keys.values())) if len(keys) == 1 else None
