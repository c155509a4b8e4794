"""A key store in Vault or OpenBao: one immutable entry a key, and one ledger under check-and-set.

Order of every `put`: intent in the ledger, entry (only where there is none),
read back, fingerprint, metadata, record in the ledger. The intent tells the next
run what to look for when this one is cut off; the entry, which nobody may write
twice, decides between two that store different bytes under one name. Order of
`destroy`: record, then the erasure, then the note that it is done. Whoever comes
next and has the right to, finishes either. Reads change nothing where that right
is missing. A ledger that is behind what this machine has seen is refused.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta

from keyctl.errors import UnusableInputError
from keyctl.keys import backups, ledger
from keyctl.keys.backups import Backup
from keyctl.keys.key import Key, KeyRef
from keyctl.keys.ledger import KeyRecord, KeyState, Moment
from keyctl.keys.shown import shown_ref
from keyctl.keys.vault import faults
from keyctl.keys.vault.client import KeyValues
from keyctl.keys.vault.entries import Intent, KeyEntry, Ledger
from keyctl.keys.vault.key_entries import KeyEntries
from keyctl.keys.vault.ledger_entry import LedgerEntry
from keyctl.keys.vault.memory import LedgerMemory
from keyctl.keys.vault.settings import VaultPlace

_logger = logging.getLogger(__name__)

# An intent without an entry is one of a run that died; one as young as this may be of a run that lives.
_INTENT_LIVES = timedelta(hours=1)


class VaultKeyStore:
    """The keys of `cluster` at `place` of `vault`. `memory` is what this machine has seen of the ledger.

    One that is `only_read` writes nothing at all, neither there nor here.
    """

    def __init__(
        self,
        vault: KeyValues,
        place: VaultPlace,
        *,
        cluster: str,
        clock: Callable[[], datetime],
        memory: LedgerMemory,
        only_read: bool = False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._vault = vault
        self._location = f"{vault.location}/{place.path}"
        self._cluster = cluster
        self._clock = clock
        self._only_read = only_read
        self._keys = KeyEntries(vault, place, cluster=cluster, sleep=sleep)
        self._ledger = LedgerEntry(vault, place, cluster=cluster, memory=memory, remembering=not only_read, sleep=sleep)

    @property
    def location(self) -> str:
        """Address, namespace, mount and path."""
        return self._location

    def put(self, key: Key, *, origin: str) -> KeyRecord:
        """See `KeyStore.put`."""
        self._to_change()
        at = self._now()

        def intend(one: Ledger) -> Ledger:
            known = ledger.admit(one.records, key, origin=origin, at=at)
            return one if known in one.records else one.intending(key, at=at)

        known = ledger.admit(self._ledger.change(intend).records, key, origin=origin, at=at)
        entry = self._keys.store(KeyEntry(key, known.origin, known.created, self._cluster))
        return self._recorded(self._ledger.change(lambda one: one.settled(entry)), key.ref)

    def get(self, ref: KeyRef) -> Key | None:
        """See `KeyStore.get`."""
        record = ledger.find(self._looked_at().records, ref)
        return self._keys.read_back(record) if record and record.state is not KeyState.DESTROYED else None

    def records(self) -> tuple[KeyRecord, ...]:
        """See `KeyStore.records`."""
        return self._looked_at().records

    def note_state(self, ref: KeyRef, state: str) -> KeyRecord:
        """See `KeyStore.note_state`. Raises `UnusableInputError` when the store has no such key."""
        return self._enter(ref, KeyState(state), lambda _: None)

    def note_writes(self, ref: KeyRef, *, first: Moment | None = None, last: Moment | None = None) -> KeyRecord:
        """See `KeyStore.note_writes`. Raises `UnusableInputError` when the store has no such key."""
        self._to_change()
        after = self._ledger.change(
            lambda one: one.noting(ledger.wrote(self._recorded(one, ref), first=first, last=last))
        )
        return self._recorded(after, ref)

    def restore(self, record: KeyRecord, key: Key | None) -> KeyRecord:
        """See `KeyStore.restore`."""
        if key is None and record.state is not KeyState.DESTROYED:
            raise ValueError("only a destroyed key is restored without its bytes")
        self._to_change().noting(record)
        if key is None or record.state is KeyState.DESTROYED:
            return self._recorded(self._ledger.change(lambda one: one.noting(record)), record.ref)
        entry = self._keys.store(KeyEntry(key, record.origin, record.created, self._cluster))
        return self._recorded(self._ledger.change(lambda one: one.noting(record).settled(entry)), record.ref)

    def destroy(self, ref: KeyRef, *, judged: Collection[Backup] = ()) -> KeyRecord:
        """See `KeyStore.destroy`; no-op for a destroyed key. Raises `UnusableInputError` for an unknown one."""

        def check(one: Ledger) -> None:
            backups.require_judged(one.backups, self._recorded(one, ref), judged)

        return self._enter(ref, KeyState.DESTROYED, check)

    def note_backup(self, backup: Backup) -> None:
        """See `KeyStore.note_backup`."""
        self._to_change()
        self._ledger.change(lambda one: one.keeping(backups.succeed(one.backups, backup)))

    def forget_backup(self, location: str) -> None:
        """See `KeyStore.forget_backup`."""
        self._to_change()

        def edit(one: Ledger) -> Ledger:
            if all(known.location != location for known in one.backups):
                raise backups.unknown(location, self.location)
            return one.forgetting(location)

        self._ledger.change(edit)

    def backups(self) -> tuple[Backup, ...]:
        """See `KeyStore.backups`."""
        return self._looked_at().backups

    def _looked_at(self) -> Ledger:
        """The ledger; what an earlier run left half-done is finished where that is permitted."""
        known = self._ledger.read()
        if self._only_read or not (known.pending or known.erasing):
            return known
        return self._finished(known)

    def _to_change(self) -> Ledger:
        """The ledger, at the beginning of a change. Raises `RuntimeError` for a store that is only read."""
        if self._only_read:
            raise RuntimeError("this key store was opened to be read only")
        self._vault.require_lasting()
        return self._looked_at()

    def _finished(self, known: Ledger) -> Ledger:
        try:
            for intent in known.pending:
                self._settle(intent)
            for ref in known.erasing:
                self._erase(ref)
        except faults.DeniedError:
            # An auditor's token, or a rotator's where something is to be destroyed: the next one does it.
            _logger.info("what an earlier run left half-done in %s stays: this token may not finish it", self._location)
        return self._ledger.read()

    def _settle(self, intent: Intent) -> None:
        """Record the key of a `put` that was cut off, or drop its intent when nothing came of it."""
        entry = self._keys.complete(intent.ref)
        if entry:
            self._ledger.change(lambda one: one.settled(entry))
        elif datetime.fromisoformat(intent.at) < self._clock() - _INTENT_LIVES:
            self._ledger.change(lambda one: one.without_intent(intent))

    def _enter(self, ref: KeyRef, wanted: KeyState, check: Callable[[Ledger], None]) -> KeyRecord:
        """Have the key in the state `wanted`, where `check` has nothing against the very ledger that is changed."""
        at = self._now()

        def edit(one: Ledger) -> Ledger:
            check(one)
            return one.noting(ledger.change(self._recorded(one, ref), wanted, at=at))

        if ref in edit(self._to_change()).erasing:
            self._keys.require_right_to_erase(ref)
        after = self._ledger.change(edit)
        if ref in after.erasing:
            self._erase(ref)
        return self._recorded(after, ref)

    def _erase(self, ref: KeyRef) -> None:
        self._keys.erase(ref)
        self._ledger.change(lambda one: one.erased(ref))

    def _now(self) -> str:
        return self._clock().astimezone(UTC).isoformat()

    def _recorded(self, one: Ledger, ref: KeyRef) -> KeyRecord:
        record = ledger.find(one.records, ref)
        if record is None:
            raise UnusableInputError(
                f"there is no key {shown_ref(ref)} in the key store {self.location}",
                hint="check keys.mount and keys.path in the cluster file",
            )
        return record
