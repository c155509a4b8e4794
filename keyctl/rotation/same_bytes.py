"""Every name that the bytes of one key have: what has leaked under one of them has leaked under all."""

from __future__ import annotations

from contextlib import suppress

from keyctl.encryption_config import effective
from keyctl.encryption_config.model import EncryptionConfig
from keyctl.errors import UnusableInputError
from keyctl.keys.key import KeyRef
from keyctl.rotation.world import World


def names_of(world: World, config: EncryptionConfig | None, ref: KeyRef) -> tuple[KeyRef, ...]:
    """`ref`, and then the others, in order: in a file that says `config`, and in the key store, of any provider.

    Of a destroyed key the ledger knows the fingerprint, which is bound to its provider.
    """
    records = world.store.records()
    keys = [*([] if config is None else effective.all_static_keys(config))]
    for record in records:
        # NOTE: another key that is damaged must not keep a leaked one in use; the fingerprint is in the ledger.
        with suppress(UnusableInputError):
            keys += [key] if (key := world.store.get(record.ref)) is not None else []
    bytes_of = {key.material for key in keys if key.ref == ref}
    prints = {record.fingerprint for record in records if record.ref == ref}
    same = {key.ref for key in keys if key.material in bytes_of}
    same |= {record.ref for record in records if record.fingerprint in prints}
    return (ref, *sorted(same - {ref}))
