"""What keyctl needs of a key store, and no more."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from keyctl.keys.backups import Backup
from keyctl.keys.key import Key, KeyRef
from keyctl.keys.ledger import KeyRecord, Moment


class KeyStore(Protocol):
    """Keeps key bytes and the ledger of one cluster.

    An entry is written once and never changed: `put` of the same bytes is a
    no-op, `put` of other bytes under a known (provider, name) raises
    `RefusedError` (rule R5). Failures of the medium raise `UnusableInputError`
    (damaged, wrong mode) or `UnreachableError`; no client exception crosses.
    """

    @property
    def location(self) -> str:
        """Where the store is, for messages; no credentials."""
        ...

    def put(self, key: Key, *, origin: str) -> KeyRecord:
        """Store `key` durably, read it back, compare fingerprints, record it in the ledger.

        `origin` is "generated" or "imported".
        """
        ...

    def get(self, ref: KeyRef) -> Key | None:
        """The key, its fingerprint checked against the ledger; None when the store never had it, or it is destroyed."""
        ...

    def records(self) -> tuple[KeyRecord, ...]:
        """The ledger: one record a key, in order of arrival, without key bytes."""
        ...

    def note_state(self, ref: KeyRef, state: str) -> KeyRecord:
        """Record a new `state` of the key's life (see `keyctl.keys.ledger.STATES`)."""
        ...

    def note_writes(self, ref: KeyRef, *, first: Moment | None = None, last: Moment | None = None) -> KeyRecord:
        """Record what was proven of the writes under a key (see `keyctl.keys.ledger.wrote`)."""
        ...

    def restore(self, record: KeyRecord, key: Key | None) -> KeyRecord:
        """Put in a whole life as another store had it, and the `key` itself, which only a destroyed one lacks.

        What of it is there already stays: a restore that was cut off is completed by the same call. Raises
        `RefusedError` (R5) where the name has another life or other bytes here.
        """
        ...

    def destroy(self, ref: KeyRef, *, judged: Collection[Backup] = ()) -> KeyRecord:
        """Erase the bytes of a deactivated or compromised key; its ledger entry stays, as `destroyed`.

        Whether anything still needs the key is the caller's to find out (rule R4). Raises `RefusedError` (R4) for a
        key in another state, and where the register, as it is at that moment, has a backup that needs the key and is
        not among the `judged` ones.
        """
        ...

    def note_backup(self, backup: Backup) -> None:
        """Register `backup`, durably; a second record for one `location` takes the place of the first.

        The needs of two records of one etcd's history add up (`keyctl.keys.backups.succeed`).
        """
        ...

    def forget_backup(self, location: str) -> None:
        """Take the backup at `location` out of the register. Raises `UnusableInputError` for an unknown one."""
        ...

    def backups(self) -> tuple[Backup, ...]:
        """The register: every backup noted and not forgotten, in order of arrival."""
        ...
