"""Note that a key is out of use (rule R4): no server's file has it, and no live value stands under it.

A rotation notes that of the keys that it takes away. What left the files in another
way (by hand, by another tool, with a run that was killed) stays active in the ledger
until somebody looks. Nothing but the ledger is changed, and nothing is believed
that was not looked at.
"""

from __future__ import annotations

from keyctl.errors import RefusedError
from keyctl.keys.key import KeyRef
from keyctl.keys.ledger import KeyRecord, KeyState
from keyctl.rotation.history import note_history, revisions_of
from keyctl.rotation.journal import Journal, LocalLock
from keyctl.rotation.key_use import alone, known, look_for
from keyctl.rotation.obstacles import Facts, require_unused
from keyctl.rotation.world import Reporter, World

_OVER = {KeyState.COMPROMISED, KeyState.DESTROYED}


class Deactivation:
    """The end of the use of `ref`."""

    def __init__(self, world: World, journal: Journal, lock: LocalLock, reporter: Reporter, ref: KeyRef) -> None:
        self._world = world
        self._journal = journal
        self._lock = lock
        self._reporter = reporter
        self._ref = ref

    def check(self) -> KeyRecord:
        """The key's record, when nothing uses the key; changes nothing.

        Raises `RefusedError` (R4) with every use there is and every doubt, `UnusableInputError` for an unknown key,
        `UnreachableError` for what could not be looked at.
        """
        record = known(self._world, self._ref)
        if record.state in _OVER:
            raise RefusedError(
                f"key {self._ref} is {record.state}, which is past being deactivated",
                cause=f"the ledger has it so since {record.history[-1].at}",
                hint="see its life: keyctl keys list",
                rule="R4",
            )
        use = look_for(self._world, self._ref, self._reporter)
        under_way = bool(self._journal.unfinished())
        facts = Facts(record, under_way, use.unseen, use.holders, use.values, nodes=use.nodes, begun=use.begun)
        require_unused(facts)
        return record

    def carry_out(self) -> KeyRecord:
        """Check again, as the only one who changes this cluster, then note it. Raises as `check` does."""
        with alone(self._world, self._lock):
            record = self.check()
            if record.state is KeyState.DEACTIVATED:
                return record
            # NOTE: reading everything may take longer than the Lease lasts; this renews it, or tells that it was lost.
            self._world.lease.check()
            # NOTE: whoever took it out of the files waited for nothing: superseded revisions are under it still, and
            # so may be a write that lands only now. Until etcd has compacted them it is not destroyed (R4, R6).
            note_history(self._world, revisions_of(self._world), (self._ref,))
            return self._world.store.note_state(self._ref, KeyState.DEACTIVATED)
