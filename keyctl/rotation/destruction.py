"""Destroy a key that nothing needs any more (rule R4): look everywhere, then erase it in the key store.

What cannot be looked at is never taken for "not needed": an etcd or a host that
does not answer ends it (`UnreachableError`), and a server whose flags or file
leave a doubt is a reason against it. Nothing but the key store is changed.
"""

from __future__ import annotations

from keyctl.errors import WrongUsageError
from keyctl.keys import backups
from keyctl.keys.backups import Backup, BackupKind
from keyctl.keys.key import KeyRef
from keyctl.keys.ledger import KeyRecord, KeyState
from keyctl.rotation.journal import Journal, LocalLock
from keyctl.rotation.key_use import alone, known, look_for
from keyctl.rotation.obstacles import Facts, require_none
from keyctl.rotation.world import EtcdPlace, Reporter, World


class Destruction:
    """The destruction of `ref`. `forget` are the places of backups that the user says are gone."""

    def __init__(
        self,
        world: World,
        journal: Journal,
        lock: LocalLock,
        reporter: Reporter,
        ref: KeyRef,
        *,
        forget: tuple[str, ...] = (),
    ) -> None:
        self._world = world
        self._journal = journal
        self._lock = lock
        self._reporter = reporter
        self._ref = ref
        self._forget = forget

    def check(self) -> KeyRecord:
        """The key's record, when nothing stands in the way; changes nothing.

        Raises `RefusedError` (R4) with every reason, `UnusableInputError` for an
        unknown key or backup, `WrongUsageError` for a backup to forget that does not
        need the key, `UnreachableError` for what could not be looked at.
        """
        facts = self._look(self._needing())
        require_none(facts)
        return facts.record

    def carry_out(self) -> KeyRecord:
        """Check again, as the only one who changes this cluster, then destroy the key. Raises as `check` does."""
        with alone(self._world, self._lock):
            needing = self._needing()
            facts = self._look(needing)
            require_none(facts)
            # NOTE: reading everything may take longer than the Lease lasts; this renews it, or tells that it was lost.
            self._world.lease.check()
            if facts.record.state is KeyState.PRE_ACTIVATION:
                self._world.store.note_state(self._ref, KeyState.DEACTIVATED)
            # NOTE: snapshots are registered without the Lease; one that came while we looked is seen by the store.
            destroyed = self._world.store.destroy(self._ref, judged=needing)
            # NOTE: not before: other keys may be needed by them, and a key that stays must not lose its backups.
            for location in self._forget:
                self._world.store.forget_backup(location)
            return destroyed

    def _look(self, needing: tuple[Backup, ...]) -> Facts:
        world, ref = self._world, self._ref
        record = known(world, ref)
        use = look_for(world, ref, self._reporter)
        histories = [(backup, _place_of(world, backup)) for backup in needing if backup.kind is BackupKind.HISTORY]
        return Facts(
            record=record,
            under_way=bool(self._journal.unfinished()),
            unseen=use.unseen,
            holders=use.holders,
            values=use.values,
            nodes=use.nodes,
            begun=use.begun,
            snapshots=tuple(
                one for one in needing if one.kind is BackupKind.SNAPSHOT and one.location not in self._forget
            ),
            # NOTE: what etcd can still read is there, whatever the user says: only a strange etcd can be forgotten.
            histories=tuple(one for one, place in histories if place and _is_readable(place, one)),
            strangers=tuple(one for one, place in histories if not place and one.location not in self._forget),
        )

    def _needing(self) -> tuple[Backup, ...]:
        """The registered backups that need the key. Those to be forgotten must be among them."""
        registered = self._world.store.backups()
        needing = backups.needing(registered, self._ref, known(self._world, self._ref).fingerprint)
        for location in self._forget:
            if location not in {backup.location for backup in registered}:
                raise backups.unknown(location, self._world.store.location)
            if location not in {backup.location for backup in needing}:
                raise WrongUsageError(
                    f"the backup at {location} does not need {self._ref}", hint="leave its --forget-backup out"
                )
        return needing


def _place_of(world: World, backup: Backup) -> EtcdPlace | None:
    return next((place for place in world.etcds if backup.location in place.endpoints), None)


def _is_readable(place: EtcdPlace, history: Backup) -> bool:
    """Whether etcd can still read what stood right before the revision that was noted."""
    return not place.etcd.is_compacted(max(history.revision - 1, 1))
