"""What keyctl needs of a key store, and no more."""

from __future__ import annotations

from typing import Protocol

from keyctl.keys.key import Key, KeyRef
from keyctl.keys.ledger import KeyRecord


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
        """The key, its fingerprint checked against the ledger; None when the store never had it."""
        ...

    def records(self) -> tuple[KeyRecord, ...]:
        """The ledger: one record a key, in order of arrival, without key bytes."""
        ...

    def note_state(self, ref: KeyRef, state: str) -> KeyRecord:
        """Record a new `state` of the key's life (see `keyctl.keys.ledger.STATES`)."""
        ...
