"""The entries of keys in Vault: written once, read back, never believed without their fingerprint."""

from __future__ import annotations

import time
from collections.abc import Callable

from keyctl.errors import RefusedError, UnreachableError, UnusableInputError
from keyctl.keys.key import Key, KeyRef
from keyctl.keys.ledger import KeyRecord
from keyctl.keys.shown import shown_ref
from keyctl.keys.vault import faults
from keyctl.keys.vault.client import UNCERTAIN, CasMismatchError, Deleted, Destroyed, Found, KeyValues, Missing, Reading
from keyctl.keys.vault.entries import KeyEntry, decode_key, entry_name
from keyctl.keys.vault.settings import VaultPlace

# What another server has written may take this long to show on the one that answers us.
_BEHIND_TRIES, _BEHIND_PAUSE = 5, 0.2


class KeyEntries:
    """The entries of the keys of `cluster` at `place`."""

    def __init__(
        self,
        vault: KeyValues,
        place: VaultPlace,
        *,
        cluster: str,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._vault = vault
        self._place = place
        self._cluster = cluster
        self._sleep = sleep

    def store(self, entry: KeyEntry) -> KeyEntry:
        """Store `entry` where there is none, read it back, and annotate it; returns what is stored.

        An entry of the same bytes is an earlier attempt, or another run's. Raises `RefusedError` (R5) for other bytes.
        """
        path, failed = self._path(entry.key.ref), None
        try:
            self._vault.write(path, entry.fields(), cas=0)
        except (CasMismatchError, faults.DeniedError, *UNCERTAIN) as exc:
            # NOTE: a token that may only create is denied, not told of a conflict, where an entry is already.
            failed = exc
        stored = self._awaited(path)
        if failed and isinstance(stored, Missing):
            raise failed
        found = self._decoded(stored, entry.key.ref, path)
        if found.key != entry.key:
            raise RefusedError(
                f"key {shown_ref(entry.key.ref)} is already stored with other bytes",
                cause=f"{path} has fingerprint {found.key.fingerprint}, this key has {entry.key.fingerprint}",
                hint="give the new key a name that was never used",
                rule="R5",
            )
        self._vault.annotate(path, found.metadata())
        return found

    def complete(self, ref: KeyRef) -> KeyEntry | None:
        """The entry of a `store` that was cut off, annotated; None when it came to nothing."""
        path = self._path(ref)
        reading = self._vault.read(path)
        if isinstance(reading, Missing | Destroyed):
            return None
        entry = self._decoded(reading, ref, path)
        self._vault.annotate(path, entry.metadata())
        return entry

    def read_back(self, record: KeyRecord) -> Key:
        """The key of `record`, equal in name and fingerprint."""
        path = self._path(record.ref)
        reading = self._awaited(path)
        entry = self._decoded(reading, record.ref, path)
        if entry.key.fingerprint != record.fingerprint:
            version = reading.version if isinstance(reading, Found) else 0
            raise self._damaged(path, "it holds another key than the one in the ledger", version)
        return entry.key

    def require_right_to_erase(self, ref: KeyRef) -> None:
        """Raise `UnreachableError` when the token may not erase the key."""
        path = self._path(ref)
        if not self._vault.may_destroy(path):
            raise UnreachableError(
                f"this token may not destroy {path}: the key stays as it is",
                cause="a token that rotates keys cannot destroy any",
                hint="log in with the policies of rotator and destroyer: keyctl keys policies destroyer",
            )

    def erase(self, ref: KeyRef) -> None:
        """Erase the bytes of a key for good."""
        self._vault.destroy(self._path(ref))

    def _path(self, ref: KeyRef) -> str:
        return self._place.key(entry_name(ref))

    def _awaited(self, path: str) -> Reading:
        """What is at `path`; nothing counts only when it stays so, for a standby may be behind."""
        for _ in range(_BEHIND_TRIES):
            reading = self._vault.read(path)
            if not isinstance(reading, Missing):
                return reading
            self._sleep(_BEHIND_PAUSE)
        return Missing()

    def _decoded(self, reading: Reading, ref: KeyRef, path: str) -> KeyEntry:
        match reading:
            case Found(version, fields):
                return self._entry(path, ref, version, fields)
            case Deleted(version, at):
                message = f"the entry of key {shown_ref(ref)} is deleted: {path}"
                raise faults.deleted(message, path, mount=self._vault.mount, version=version, at=at)
            case Destroyed(version):
                raise UnusableInputError(
                    f"the entry of key {shown_ref(ref)} is destroyed: {path}",
                    cause=f"the bytes of version {version} are gone, and not by keyctl: the ledger still has the key",
                    hint="take the key from a server's file or an escrow, under another name; find out who did this",
                )
            case Missing():
                raise UnusableInputError(
                    f"the entry of key {shown_ref(ref)} is missing: {path}",
                    cause="the ledger lists the key; its entry was erased, or Vault is not the one it was",
                    hint="a rotation stores it again from the servers' files: keyctl rotate",
                )

    def _entry(self, path: str, ref: KeyRef, version: int, fields: object) -> KeyEntry:
        try:
            entry = decode_key(fields if isinstance(fields, dict) else {})
        except ValueError as exc:
            raise self._damaged(path, str(exc), version) from None
        if entry.cluster != self._cluster:
            raise UnusableInputError(
                f'{path}: this key belongs to cluster "{entry.cluster}", not "{self._cluster}"',
                hint="give each cluster its own keys.path",
            )
        if entry.key.ref != ref:
            raise self._damaged(
                path, f"it holds key {shown_ref(entry.key.ref)}, which has an entry of its own", version
            )
        return entry

    def _damaged(self, path: str, cause: str, version: int) -> UnusableInputError:
        again = f"; it was written {version} times, and an entry never changes" if version > 1 else ""
        first = f"bao kv rollback -mount={self._vault.mount} -version=1 {path}"
        hint = f"find out who wrote it, then bring the first version back: {first}" if version > 1 else _FROM_ELSEWHERE
        return UnusableInputError(f"the entry {path} is damaged", cause=f"{cause}{again}", hint=hint)


_FROM_ELSEWHERE = "find out who wrote it; the key itself is in the servers' files, and in an escrow if you have one"
