"""A key store in memory that keeps the contract of `KeyStore`."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime

from keyctl.errors import UnusableInputError
from keyctl.keys import backups, ledger
from keyctl.keys.backups import Backup
from keyctl.keys.key import Key, KeyRef
from keyctl.keys.ledger import KeyRecord, KeyState, Moment


class MemoryKeyStore:
    """Keys, their ledger and the register of backups in three dictionaries."""

    def __init__(self, *, clock: Callable[[], datetime] = lambda: datetime(2026, 11, 21, 10, tzinfo=UTC)) -> None:
        self._keys: dict[KeyRef, Key] = {}
        self._records: dict[KeyRef, KeyRecord] = {}
        self._backups: dict[str, Backup] = {}
        self._clock = clock

    @property
    def location(self) -> str:
        return "memory"

    def put(self, key: Key, *, origin: str) -> KeyRecord:
        record = ledger.admit(self.records(), key, origin=origin, at=self._clock().isoformat())
        self._keys[key.ref] = key
        self._records[key.ref] = record
        return record

    def get(self, ref: KeyRef) -> Key | None:
        return self._keys.get(ref)

    def records(self) -> tuple[KeyRecord, ...]:
        return tuple(self._records.values())

    def note_state(self, ref: KeyRef, state: str) -> KeyRecord:
        return self._change(ref, state)

    def note_writes(self, ref: KeyRef, *, first: Moment | None = None, last: Moment | None = None) -> KeyRecord:
        self._records[ref] = ledger.wrote(self._known(ref), first=first, last=last)
        return self._records[ref]

    def restore(self, record: KeyRecord, key: Key | None) -> KeyRecord:
        ledger.lines(self._records.get(record.ref), record, cluster="memory")
        if key is not None:
            self._keys[record.ref] = key
        self._records[record.ref] = record
        return record

    def destroy(self, ref: KeyRef, *, judged: Collection[Backup] = ()) -> KeyRecord:
        backups.require_judged(self.backups(), self._known(ref), judged)
        return self._change(ref, KeyState.DESTROYED)

    def note_backup(self, backup: Backup) -> None:
        self._backups[backup.location] = backups.succeed(self.backups(), backup)

    def forget_backup(self, location: str) -> None:
        if location not in self._backups:
            raise backups.unknown(location, self.location)
        del self._backups[location]

    def backups(self) -> tuple[Backup, ...]:
        return tuple(self._backups.values())

    def _known(self, ref: KeyRef) -> KeyRecord:
        if ref not in self._records:
            raise UnusableInputError(f"there is no key {ref} in the key store {self.location}")
        return self._records[ref]

    def _change(self, ref: KeyRef, state: str) -> KeyRecord:
        self._records[ref] = ledger.change(self._known(ref), state, at=self._clock().isoformat())
        if self._records[ref].state is KeyState.DESTROYED:
            self._keys.pop(ref, None)
        return self._records[ref]
