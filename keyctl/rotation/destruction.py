"""Destroy a key that nothing needs any more (rule R4): look everywhere, then erase it in the key store.

What cannot be looked at is never taken for "not needed": an etcd or a host that
does not answer ends it (`UnreachableError`), and a server whose flags or file
leave a doubt is a reason against it. Nothing but the key store is changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from keyctl.encryption_config import effective
from keyctl.encryption_config.model import EncryptionConfig, ProviderElement, ResourceEntry, StaticReader
from keyctl.errors import RefusedError, UnusableInputError, WrongUsageError
from keyctl.keys import backups, ledger
from keyctl.keys.backups import Backup, BackupKind
from keyctl.keys.key import Key, KeyRef
from keyctl.keys.ledger import KeyRecord, KeyState
from keyctl.rotation import preflight
from keyctl.rotation.journal import Journal, LocalLock
from keyctl.rotation.observe import require_access
from keyctl.rotation.obstacles import Facts, require_none
from keyctl.rotation.scan import scan
from keyctl.rotation.server_facts import ServerFacts, check_etcds, check_file, check_flags, look
from keyctl.rotation.world import EtcdPlace, Event, Reporter, World

# A resource that no API serves: an entry for it adds a key to what is known, and changes how nothing is stored.
_NOWHERE = "nowhere.keyctl.invalid"


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
        facts = self._look()
        require_none(facts)
        return facts.record

    def carry_out(self) -> KeyRecord:
        """Check again, as the only one who changes this cluster, then destroy the key. Raises as `check` does."""
        with self._alone():
            self.check()
            # NOTE: reading everything may take longer than the Lease lasts; this renews it, or tells that it was lost.
            self._world.lease.check()
            for location in self._forget:
                self._world.store.forget_backup(location)
            if self._known().state is KeyState.PRE_ACTIVATION:
                self._world.store.note_state(self._ref, KeyState.DEACTIVATED)
            return self._world.store.destroy(self._ref)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """R8: no rotation begins meanwhile, neither here nor on another machine."""
        self._lock.acquire()
        try:
            self._world.lease.acquire()
            try:
                yield
            finally:
                self._world.lease.release()
        finally:
            self._lock.release()

    def _look(self) -> Facts:
        world, ref = self._world, self._ref
        record, needing = self._known(), self._needing()
        servers, unseen = self._servers()
        config = servers[0].config if servers else None
        if servers:
            preflight.check_binding(world, config, world.servers[0].api)
        histories = [(backup, _place_of(world, backup)) for backup in needing if backup.kind is BackupKind.HISTORY]
        return Facts(
            record=record,
            under_way=bool(self._journal.unfinished()),
            unseen=unseen,
            holders=tuple((facts.server.name, facts.server.config_path) for facts in servers if _holds(facts, ref)),
            values=self._values(config),
            snapshots=tuple(
                one for one in needing if one.kind is BackupKind.SNAPSHOT and one.location not in self._forget
            ),
            # NOTE: what etcd can still read is there, whatever the user says: only a strange etcd can be forgotten.
            histories=tuple(one for one, place in histories if place and _is_readable(place, one)),
            strangers=tuple(one for one, place in histories if not place and one.location not in self._forget),
        )

    def _known(self) -> KeyRecord:
        record = ledger.find(self._world.store.records(), self._ref)
        if record is None:
            raise UnusableInputError(
                f"there is no key {self._ref} in the key store {self._world.store.location}",
                hint="see them all: keyctl keys list",
            )
        return record

    def _needing(self) -> tuple[Backup, ...]:
        """The registered backups that need the key. Those to be forgotten must be among them."""
        registered = self._world.store.backups()
        needing = backups.needing(registered, self._ref, self._known().fingerprint)
        for location in self._forget:
            if location not in {backup.location for backup in registered}:
                raise backups.unknown(location, self._world.store.location)
            if location not in {backup.location for backup in needing}:
                raise WrongUsageError(
                    f"the backup at {location} does not need {self._ref}", hint="leave its --forget-backup out"
                )
        return needing

    def _servers(self) -> tuple[tuple[ServerFacts, ...], tuple[RefusedError, ...]]:
        """What was found of the servers, and why some of it, or the list of them, cannot be relied on."""
        world = self._world
        found: list[ServerFacts] = []
        unseen: list[RefusedError] = []
        for server in world.servers:
            with _noted(unseen):
                found.append(look(server))
        for facts in found:
            require_access(facts.probe)
            with _noted(unseen):
                check_flags(world, facts)
            with _noted(unseen):
                check_etcds(world, facts)
            if facts.probe.ready:
                with _noted(unseen):
                    check_file(facts)
        if len(found) == len(world.servers):
            with _noted(unseen):
                preflight.check_membership(world, tuple(facts.probe for facts in found), self._reporter)
        return tuple(found), tuple(unseen)

    def _values(self, config: EncryptionConfig | None) -> tuple[tuple[str, int], ...]:
        """How many live values of each resource stand under the key, in all etcds."""
        self._reporter.event(Event("step", "reading every value of every etcd"))
        known = _knowing(config, self._world.store.get(self._ref))
        count: Counter[str] = Counter()
        for group in scan(self._world.everything(), prefix=self._world.prefix, config=known).groups:
            if group.ref == self._ref:
                count[group.resource] += group.values
        return tuple(sorted(count.items()))


@contextmanager
def _noted(errors: list[RefusedError]) -> Iterator[None]:
    """Keep a refusal as one reason among others."""
    try:
        yield
    except RefusedError as error:
        errors.append(error)


def _knowing(config: EncryptionConfig | None, key: Key | None) -> EncryptionConfig:
    """`config` with `key` among what it reads: a stored name with a colon is told by the names that are known."""
    entries = () if config is None else config.entries
    if key is None:
        return EncryptionConfig(entries)
    reader = ProviderElement(key.provider, (StaticReader(key),))
    return EncryptionConfig((*entries, ResourceEntry((_NOWHERE,), (reader,))))


def _holds(facts: ServerFacts, ref: KeyRef) -> bool:
    return facts.config is not None and any(key.ref == ref for key in effective.all_static_keys(facts.config))


def _place_of(world: World, backup: Backup) -> EtcdPlace | None:
    return next((place for place in world.etcds if backup.location in place.endpoints), None)


def _is_readable(place: EtcdPlace, history: Backup) -> bool:
    """Whether etcd can still read what stood right before the revision that was noted."""
    return not place.etcd.is_compacted(max(history.revision - 1, 1))
