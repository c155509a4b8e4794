"""An escrow: every key of a cluster with its whole life, and the register of backups, in one piece.

Pure: `Escrow` is what stands inside of the encrypted file, and `content` has key bytes. It is sealed and opened in
memory (`keyctl.keys.escrow_age`); nothing here writes it anywhere but into a key store.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import NoReturn

from keyctl.errors import RefusedError, UnusableInputError
from keyctl.keys import backups, ledger
from keyctl.keys.backups import Backup
from keyctl.keys.interface import KeyStore
from keyctl.keys.key import Key, KeyRef, Provider
from keyctl.keys.ledger import KeyRecord, KeyState

_FORMAT = "keyctl/escrow/v1"


@dataclass(frozen=True, slots=True)
class Escrow:
    """What an escrow of `cluster` holds, as of `at` (ISO 8601). Every key that is not destroyed is in `keys`."""

    cluster: str
    at: str
    records: tuple[KeyRecord, ...]
    keys: tuple[Key, ...] = field(repr=False)
    register: tuple[Backup, ...]

    @property
    def fingerprints(self) -> tuple[tuple[KeyRef, str], ...]:
        """Each key that it holds, with the fingerprint of the very bytes."""
        return tuple((key.ref, key.fingerprint) for key in self.keys)


@dataclass(frozen=True, slots=True)
class Comparison:
    """An escrow beside the store: keys that the store has and the escrow lacks, and those of which the bytes differ."""

    lacking: tuple[KeyRef, ...]
    differing: tuple[KeyRef, ...]


def of_store(store: KeyStore, *, cluster: str, at: str) -> Escrow:
    """All that `store` has. Raises `UnusableInputError` when there is no key in it, or one cannot be read back."""
    records = store.records()
    keys = []
    for record in records:
        key = None if record.state is KeyState.DESTROYED else store.get(record.ref)
        if key is not None:
            keys.append(key)
    if not keys:
        raise UnusableInputError(
            f"there is no key in the key store {store.location}",
            hint="keys come into it with the first keyctl enable or keyctl rotate",
        )
    return Escrow(cluster, at, records, tuple(keys), store.backups())


def content(escrow: Escrow) -> bytes:
    """`escrow` as it is sealed. Key bytes: not to be written anywhere."""
    records = (line for record in escrow.records for line in ledger.lines(None, record, cluster=escrow.cluster))
    noted = (backups.noted_line(backup, cluster=escrow.cluster) for backup in escrow.register)
    document = {
        "format": _FORMAT,
        "cluster": escrow.cluster,
        "at": escrow.at,
        "ledger": b"".join(records).decode(),
        "register": b"".join(noted).decode(),
        "keys": [
            {"provider": key.provider, "name": key.name, "material": base64.b64encode(key.material).decode()}
            for key in escrow.keys
        ],
    }
    return json.dumps(document).encode()


def parse(opened: bytes, *, cluster: str, name: str) -> Escrow:
    """What `opened` holds, every key of it with the fingerprint that its ledger says. `name` is for messages.

    Raises `UnusableInputError` for another cluster's, and for what `content` would not have made.
    """
    try:
        document = json.loads(opened)
        if document["format"] != _FORMAT:
            raise ValueError("another format")
        whose, at = str(document["cluster"]), str(document["at"])
        records = ledger.replay(document["ledger"].encode(), cluster=whose, name=name)
        register = backups.replay(document["register"].encode(), cluster=whose, name=name)
        keys = tuple(_key(fields) for fields in document["keys"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, UnusableInputError):
        # NOTE: `from None`: a decoding error carries the text it failed on, and that is the keys.
        _refuse(name, "it does not hold what an escrow holds")
    if whose != cluster:
        raise UnusableInputError(
            f'the escrow {name} is of cluster "{whose}", not "{cluster}"', hint="name the cluster file of that cluster"
        )
    _check_whole(records, keys, name)
    return Escrow(whose, at, records, keys, register)


def compare(store: KeyStore, escrow: Escrow) -> Comparison:
    """`escrow` beside every key that `store` has. Raises what `KeyStore.records` does."""
    held = dict(escrow.fingerprints)
    lacking, differing = [], []
    for record in store.records():
        if record.state is KeyState.DESTROYED:
            continue
        if record.ref not in held:
            lacking.append(record.ref)
        elif held[record.ref] != record.fingerprint:
            differing.append(record.ref)
    return Comparison(tuple(lacking), tuple(differing))


def restore(store: KeyStore, escrow: Escrow) -> None:
    """Put everything of `escrow` into `store`, which holds nothing else.

    Each key is read back and its fingerprint compared. One that was cut off is completed by the same call. Raises
    `RefusedError` where the store has keys of its own, before anything is changed.
    """
    check_room(store, escrow)
    # NOTE: before the keys, for a run that is cut off leaves none that nothing holds back; and what is registered by
    # now is newer than the escrow.
    known = {backup.location for backup in store.backups()}
    for backup in escrow.register:
        if backup.location not in known:
            store.note_backup(backup)
    keys = {key.ref: key for key in escrow.keys}
    for record in escrow.records:
        store.restore(record, keys.get(record.ref))
    found = compare(store, escrow)
    if found.lacking or found.differing or len(store.records()) != len(escrow.records):
        raise UnusableInputError(
            f"the key store {store.location} does not hold what was put into it",
            cause=f"not as in the escrow: {', '.join(map(str, (*found.lacking, *found.differing))) or 'the ledger'}",
            hint="look at its medium, and import again into an empty directory",
        )


def check_room(store: KeyStore, escrow: Escrow) -> None:
    """Raise `RefusedError` where `store` has anything that is not a part of `escrow`; changes nothing."""
    restored = {record.ref: record for record in escrow.records}
    for known in store.records():
        record = restored.get(known.ref)
        if record is None:
            raise RefusedError(
                f"the key store {store.location} is not empty",
                cause=f"it has key {known.ref}, which the escrow does not know",
                hint="import into an empty key store: set another keys.directory in the cluster file",
            )
        ledger.lines(known, record, cluster=escrow.cluster)
    if not restored.keys() and store.backups():
        raise RefusedError(f"the key store {store.location} is not empty", hint="import into an empty key store")


def _key(fields: dict[str, str]) -> Key:
    return Key(Provider(fields["provider"]), fields["name"], base64.b64decode(fields["material"], validate=True))


def _check_whole(records: tuple[KeyRecord, ...], keys: tuple[Key, ...], name: str) -> None:
    held = {key.ref: key.fingerprint for key in keys}
    told = {record.ref: record.fingerprint for record in records if record.state is not KeyState.DESTROYED}
    if len(held) != len(keys) or held.keys() - told.keys():
        _refuse(name, "it holds keys that its ledger does not have")
    for ref, fingerprint in told.items():
        if ref not in held:
            _refuse(name, f"its ledger has key {ref}, and it does not hold it")
        if held[ref] != fingerprint:
            _refuse(name, f"its key {ref} has not the fingerprint that its ledger says")


def _refuse(name: str, cause: str) -> NoReturn:
    raise UnusableInputError(
        f"the escrow {name} is damaged", cause=cause, hint="use another copy of it, or an older escrow"
    ) from None
