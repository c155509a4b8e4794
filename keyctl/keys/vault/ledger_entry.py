"""The one ledger entry of a cluster in Vault: read, compared with what was seen before, changed under check-and-set."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import replace

from keyctl.errors import RefusedError, UnusableInputError
from keyctl.keys.vault import faults
from keyctl.keys.vault.client import UNCERTAIN, CasMismatchError, Deleted, Destroyed, Found, KeyValues
from keyctl.keys.vault.entries import Ledger, decode_ledger
from keyctl.keys.vault.memory import LedgerMemory, Seen
from keyctl.keys.vault.settings import VaultPlace

_TRIES = 30
_BEHIND_TRIES, _BEHIND_PAUSE = 5, 0.2


class LedgerEntry:
    """The ledger of `cluster` at `place`; `memory` is what this machine has seen of it. `remembering` writes that."""

    def __init__(
        self,
        vault: KeyValues,
        place: VaultPlace,
        *,
        cluster: str,
        memory: LedgerMemory,
        remembering: bool,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._vault = vault
        self._place = place
        self._cluster = cluster
        self._memory = memory
        self._remembering = remembering
        self._sleep = sleep

    def read(self) -> Ledger:
        """The ledger; an empty one when there is none. Raises `RefusedError` when it is behind what was seen."""
        return self._read()[1]

    def change(self, edit: Callable[[Ledger], Ledger]) -> Ledger:
        """Store what `edit` makes of the newest ledger; it is called again when somebody else was faster.

        Raises what `edit` raises, and `RefusedError` when others are faster again and again.
        """
        for _ in range(_TRIES):
            version, known = self._read()
            edited = edit(known)
            if edited == known:
                return known
            changed = replace(
                edited, seq=known.seq + 1, previous=known.digest if known.seq else "", run=secrets.token_hex(8)
            )
            if self._written(changed, version):
                self._remember(changed)
                return changed
            self._sleep(secrets.randbelow(100) / 1000)
        raise faults.conflict(self._place.ledger)

    def _written(self, changed: Ledger, version: int) -> bool:
        """Whether `changed` is stored now. One whose outcome nobody told is looked for."""
        try:
            self._vault.write(self._place.ledger, changed.fields(), cas=version)
        except CasMismatchError:
            return False
        except UNCERTAIN as exc:
            # NOTE: not asked through the check against the memory: the answer may be of a server that is behind.
            if self._decoded()[1].run == changed.run:
                return True
            raise exc
        return True

    def _read(self) -> tuple[int, Ledger]:
        for attempt in range(_BEHIND_TRIES):
            version, known = self._decoded()
            trouble = self._behind(known)
            if trouble is None:
                self._remember(known)
                return version, known
            if attempt < _BEHIND_TRIES - 1:
                self._sleep(_BEHIND_PAUSE)
        raise trouble or RuntimeError("there is at least one attempt")

    def _decoded(self) -> tuple[int, Ledger]:
        path = self._place.ledger
        reading = self._vault.read(path)
        match reading:
            case Found(version, fields):
                return version, decode_ledger(fields, cluster=self._cluster, name=f"{self._vault.location}/{path}")
            case Deleted(version, at):
                message = f"the key ledger {path} is deleted"
                raise faults.deleted(message, path, mount=self._vault.mount, version=version, at=at)
            case Destroyed(version):
                raise UnusableInputError(
                    f"the key ledger {path} is destroyed",
                    cause=f"the content of version {version} is gone for good",
                    hint=f"bring an older version back: bao kv rollback -mount={self._vault.mount} -version=N {path}",
                )
        return 0, Ledger(self._cluster)

    def _behind(self, known: Ledger) -> RefusedError | None:
        """The error for a ledger that does not go on from what this machine has seen."""
        seen = self._memory.seen()
        if seen is None or known.seq > seen.seq + 1:
            return None
        if known.seq == seen.seq + 1:
            return None if known.previous == seen.digest else self._rewritten(known)
        if known.seq == seen.seq:
            return None if known.digest == seen.digest else self._rewritten(known)
        return RefusedError(
            f"the Vault of {self._vault.location} is older than it was: nothing is changed in it",
            cause=f"its key ledger is at write {known.seq}, and this machine has seen write {seen.seq}",
            hint=(
                "if Vault was restored from a backup, restore a newer one: keys made since are not in it",
                f"to go on with the older one, delete {self._memory.path}; keyctl rotate stores the servers' keys anew",
            ),
        )

    def _rewritten(self, known: Ledger) -> RefusedError:
        return RefusedError(
            f"the key ledger {self._place.ledger} has another past than it had",
            cause=f"write {known.seq} is not the one this machine has seen, or does not follow it",
            hint=(
                "a Vault that was restored and used since has such a ledger: find out what happened to it",
                f"to go on with this one, delete {self._memory.path}",
            ),
        )

    def _remember(self, known: Ledger) -> None:
        if self._remembering and known.seq:
            self._memory.note(Seen(known.seq, known.digest))
