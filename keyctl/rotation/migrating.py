"""The engine that lets the cluster rewrite: one StorageVersionMigration a resource, watched in raw etcd.

It is begun only when every server writes with the key that stays, for a migration
skips what is newer than its beginning and takes a conflict for done. What it says
of itself proves nothing: it knows no counts that last, and it can run for ever
without moving anything. So raw etcd is counted meanwhile, and a standstill is
explained from what can be seen.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from keyctl.errors import StoppedError, UnreachableError
from keyctl.kube.interface import Migration, Migrations, MigrationState
from keyctl.rotation.etcd_room import Verdict, full
from keyctl.rotation.refusals import Refusals
from keyctl.rotation.scan import Scan
from keyctl.rotation.sending import Progress, Site, ref_of
from keyctl.rotation.world import Event
from keyctl.stored.census import WorkItem

T = TypeVar("T")

# Seconds. On a quiet resource a migration idles for up to 82 s, until the garbage collector's cache has caught up.
STALL = 180.0
_UNTAKEN = 150.0
_MANAGER_GONE = 60.0
_POLL = 1.0
_COUNT_EVERY = 5.0
# Counting may take a tenth of the time, not more.
_COUNT_SHARE = 10
_REMIND = 15.0
# So many of those that are left are asked about.
_ASKED = 20
_OVER = (MigrationState.SUCCEEDED, MigrationState.FAILED)
_GO_ON = "go on without the migration: keyctl rotate --resume --engine patch"


@dataclass(slots=True)
class _Watch:
    """When raw etcd was last seen to move, was counted, and a watcher told something; the fewest values counted."""

    moved: float
    counted: float
    told: float
    fewest: int
    counting: float = 0.0


class Migrating:
    """See `Sender`. `stall`: so long without a smaller count in raw etcd, in seconds, is a standstill."""

    patience = 2

    def __init__(self, site: Site, *, stall: float = STALL) -> None:
        self._site = site
        self._stall = stall
        self._room = site.room()
        self._open: dict[str, Migration] = {}
        self._progress: Progress | None = None

    def round(self, found: Scan, work: Sequence[WorkItem]) -> None:
        """Migrate the resources of `work`, to the end of each migration or until raw etcd shows nothing left."""
        site = self._site
        if self._progress is None:
            self._progress = Progress(site.clock, site.reporter, found.work_total, site.clock.monotonic())
        self._room.require()
        for resource in dict.fromkeys(item.resource for item in work):
            self._begin(resource)
        try:
            self._watch(found, self._progress)
        except StoppedError as error:
            # NOTE: a migration that cannot go on tries for ever; when the user stops or a link breaks, it may go on.
            names = ", ".join(sorted(self._open))
            self._end(self._open.values())
            if error.rule == "R10":
                what = f"the StorageVersionMigration {names} could never end: {error}"
                raise StoppedError(what, cause=error.cause, hint=error.hints, rule=error.rule) from error
            raise
        self._end(self._open.values())

    def refusals(self, found: Scan) -> Refusals:
        """What a dry run of an empty patch says of the first objects that are left: a migration does not tell."""
        refusals = Refusals()
        first = [ref_of(item) for item in found.work[:_ASKED] if item.resource in self._site.served]
        for patched in self._site.servers[0].patch_empty(first, workers=2, dry_run=True):
            refusals.note(patched)
        return refusals

    def close(self) -> None:
        """Delete what is left of it."""
        self._end(self._open.values())

    def forget(self, names: Iterable[str]) -> None:
        """Delete the migrations of these names, which earlier runs of this rotation began."""
        self._end([found for name in names if (found := self._find(name)) is not None])

    def _begin(self, resource: str) -> None:
        """Go on with the migration that a run before this one left, or create one."""
        site, name = self._site, f"keyctl-{self._site.tag}-{resource}"
        found = self._find(name)
        if found is not None and found.state in _OVER:
            # It is over and something is left: what is written later than its beginning is not its business.
            self._end([found])
            found = None
        fields = {"step": "migrate", "resource": resource, "name": name}
        if found is None:
            site.write("intent", fields)
            found = self._ask(lambda api: api.create(name, resource))
            site.write("outcome", {**fields, "uid": found.uid})
        site.reporter.event(Event("step", f"StorageVersionMigration {name}: watching raw etcd", fields))
        self._open[name] = found

    def _end(self, migrations: Iterable[Migration]) -> None:
        for migration in tuple(migrations):
            fields = {"step": "end-migration", "resource": migration.resource, "name": migration.name}
            self._site.write("intent", fields)
            self._delete(migration)
            self._site.write("outcome", fields)
            self._open.pop(migration.name, None)

    def _delete(self, migration: Migration) -> None:
        self._ask(lambda api: api.delete(migration))

    def _find(self, name: str) -> Migration | None:
        return self._ask(lambda api: api.find(name))

    def _watch(self, found: Scan, progress: Progress) -> None:
        """Until every migration is over, or raw etcd shows nothing left. Raises `StoppedError` at a standstill."""
        site, clock = self._site, self._site.clock
        now = clock.monotonic()
        watch = _Watch(moved=now, counted=now, told=now, fewest=found.work_total)
        while self._look():
            site.breathe()
            clock.sleep(_POLL)
            if self._made_room():
                watch.moved = clock.monotonic()
            if clock.monotonic() - watch.counted < max(_COUNT_EVERY, _COUNT_SHARE * watch.counting):
                continue
            begun = clock.monotonic()
            found = site.count()
            watch.counted = clock.monotonic()
            watch.counting = watch.counted - begun
            if not found.work_total:
                return
            if found.work_total < watch.fewest:
                progress.add(watch.fewest - found.work_total)
                watch.fewest, watch.moved = found.work_total, watch.counted
            self._require_movement(found, watch)
        self._explain_failure()

    def _look(self) -> bool:
        """Look at every migration; whether one is not over."""
        for name in tuple(self._open):
            found = self._find(name)
            if found is None:
                raise StoppedError(
                    f"the StorageVersionMigration {name} was deleted by somebody else",
                    cause="the API does not know it any more, and this run has not ended it",
                    hint=(
                        "every server reads every value: this state is safe",
                        "begin it anew: keyctl rotate --resume",
                    ),
                    rule="R15",
                )
            self._open[name] = found
        return any(migration.state not in _OVER for migration in self._open.values())

    def _made_room(self) -> bool:
        """A migration cannot be paused: with too little room it is deleted, and begun anew once there is more."""
        room = self._room.look()
        if room.verdict is Verdict.FULL:
            raise full(room, "the migration would fill it to its quota")
        if room.verdict is Verdict.TIGHT:
            names = {name: migration.resource for name, migration in self._open.items()}
            self._end(self._open.values())
            self._room.wait(room)
            for resource in names.values():
                self._begin(resource)
        return room.verdict is Verdict.TIGHT

    def _require_movement(self, found: Scan, watch: _Watch) -> None:
        site, now = self._site, self._site.clock.monotonic()
        still = now - watch.moved
        pending = [one for one in self._open.values() if one.state is MigrationState.PENDING]
        if pending and still > min(_UNTAKEN, self._stall):
            raise self._untaken(pending[0], still)
        if still > self._stall:
            raise self._standstill(found, still)
        if still and now - watch.told >= _REMIND:
            watch.told = now
            message = (
                f"raw etcd has shown {found.work_total} left for {still:.0f} s: waiting for kube-controller-manager"
            )
            site.reporter.event(Event("wait", message, {"left": found.work_total, "seconds": round(still)}))

    def _untaken(self, migration: Migration, seconds: float) -> StoppedError:
        silent = self._ask(lambda api: api.manager_silent_for())
        if silent is None:
            cause = "its Lease in kube-system cannot be seen: kube-controller-manager does not run, or we may not look"
        elif silent > _MANAGER_GONE:
            cause = f"kube-controller-manager does not run: its Lease was last renewed {silent:.0f} s ago"
        else:
            cause = "kube-controller-manager runs, and not its storage-version-migrator-controller"
        return StoppedError(
            f"nobody has taken up the StorageVersionMigration {migration.name} for {seconds:.0f} s",
            cause=cause,
            hint=(
                "every server reads every value, and the migration is deleted: this state is safe",
                "start it with the feature gate StorageVersionMigrator, then: keyctl rotate --resume",
                _GO_ON,
            ),
            rule="R15",
        )

    def _standstill(self, found: Scan, seconds: float) -> StoppedError:
        refusals = self.refusals(found)
        names = ", ".join(sorted(self._open))
        left = f"raw etcd has shown {found.work_total} left for {seconds:.0f} s"
        what = f"the StorageVersionMigration {names} runs, and {left}"
        if refusals.groups():
            return refusals.error(what)
        told = "; ".join(dict.fromkeys(one.message for one in self._open.values() if one.message))
        return StoppedError(
            what,
            cause="every value opens and no dry run is refused: the garbage collector's cache, which it waits for, "
            f"may lag{f'; it says: {told}' if told else ''}",
            hint=(
                "every server reads every value, and the migration is deleted: this state is safe",
                "see the log of kube-controller-manager; any change to an object of that resource wakes its cache",
                _GO_ON,
            ),
            rule="R15",
        )

    def _explain_failure(self) -> None:
        """A migration that has failed does not go on: say what keeps the objects, when any are left."""
        failed = [one for one in self._open.values() if one.state is MigrationState.FAILED]
        if not failed:
            return
        found = self._site.count()
        if not any(item.resource in {one.resource for one in failed} for item in found.work):
            return
        refusals = self.refusals(found)
        self._site.write("refused", {"left": found.work_total, "classes": refusals.to_record()})
        what = f"the StorageVersionMigration {failed[0].name} has failed, and raw etcd shows {found.work_total} left"
        if refusals.groups():
            raise refusals.error(what)
        raise StoppedError(
            what,
            cause=failed[0].message or None,
            hint=("every server reads every value, and the migration is deleted: this state is safe", _GO_ON),
            rule="R15",
        )

    def _ask(self, question: Callable[[Migrations], T]) -> T:
        """The answer of the first server that gives one."""
        for server in self._site.servers[:-1]:
            with contextlib.suppress(UnreachableError):
                return question(server.migrations)
        return question(self._site.servers[-1].migrations)
