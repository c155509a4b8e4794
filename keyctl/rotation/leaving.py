"""Take a key out of use for good: settle, prove, deal with history, secure the archive, and prove again.

Between "every server writes with another key" and "this key is in no file" lies
what destroys clusters: a write that was sealed earlier and lands late, a value
that nobody looked at, a page of a list that is asked for later. Rules R3, R6, R7.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from keyctl.errors import StoppedError
from keyctl.keys.key import STATIC_PROVIDERS
from keyctl.rotation.background import Background
from keyctl.rotation.effects import ServerEffects
from keyctl.rotation.history import Revisions, note_history, revisions_of
from keyctl.rotation.observation import Proofs
from keyctl.rotation.observe import Observer
from keyctl.rotation.plan import History, Plan, Way
from keyctl.rotation.readings import Readings
from keyctl.rotation.secure import open_archive, save_snapshots
from keyctl.rotation.server_facts import check_etcd_flags, flags_of
from keyctl.rotation.stages import IDENTITY
from keyctl.rotation.world import Event, Reporter, World

_POLL = 1.0
_REMIND = 15.0
# The API server compacts every five minutes, to where it was five minutes before.
_COMPACTION_WAIT = 20 * 60.0

Write = Callable[[str, Mapping[str, object]], None]


@dataclass(frozen=True, slots=True)
class Job:
    """What the parts of one run share. `breathe` raises when there is a reason to stop; `write` journals."""

    world: World
    plan: Plan
    way: Way
    readings: Readings
    effects: ServerEffects
    observer: Observer
    reporter: Reporter
    write: Write
    breathe: Callable[[], None]


class Leaving:
    """The last part of a run. Proofs go into `job.observer.proofs`.

    `resecured` is true once the archive holds what is needed when the keys are gone;
    on the way back there is nothing to add to it. `late` counts values that turned up
    under a key that some server had let go already.
    """

    def __init__(self, job: Job, background: Background) -> None:
        self._job = job
        self._first = background.first_snapshots
        self._exposing = bool(background.exposing)
        self._revisions: Revisions | None = None
        self._since = job.world.clock.monotonic()
        self.resecured = background.resecured or job.way is Way.BACK
        self.late = background.late

    def keep_exposed(self) -> None:
        """For a leaked key, before the first value is rewritten: what was written under it since the beginning."""
        job = self._job
        if job.plan.compromised is None or job.way is Way.BACK or self._exposing:
            return
        job.write("intent", {"step": "save-snapshot"})
        tag = f"{job.plan.rotation}-switched"
        snapshots = save_snapshots(job.world, job.readings.configs.promoted, tag=tag, reporter=job.reporter)
        self._exposing = True
        job.write("exposing", {"snapshots": [snapshot.to_record() for snapshot in snapshots]})

    def settle(self, since: float) -> None:
        """Until `since` + settle, or as long after any server was not ready, a write sealed earlier may still land."""
        self._wait_out(since)
        self._since = since
        self._job.observer.proofs = replace(self._job.observer.proofs, settled=True)

    def settle_again(self, since: float) -> None:
        """The same, after the last server let go of the key."""
        self._wait_out(since)
        self._since = since
        self._job.observer.proofs = replace(self._job.observer.proofs, settled_again=True)

    def prove_verified(self) -> bool:
        """Scan: nothing under a leaving key, everything opens. False when something landed meanwhile: rewrite again."""
        job = self._job
        found = job.readings.scan()
        # NOTE: as of after the scan: every earlier revision will be out of reach, and later ones are later proofs'.
        revisions = revisions_of(job.world)
        takes_away = job.plan.retires or job.way is Way.BACK
        left = max(job.readings.elsewhere(found), job.readings.under_leaving(found) if takes_away else 0)
        if not left and found.kms:
            # NOTE: R16: the key that leaves is still in every file; what a plugin sealed meanwhile nobody has read yet.
            for server in job.world.servers:
                job.effects.prove_reads(server.name)
        if left or not job.observer.unchanged():
            job.observer.proofs = replace(job.observer.proofs, left=left or None, settled=False)
            return False
        under = job.readings.in_place(found)
        if not under and job.plan.old and job.way is Way.FORWARD:
            raise StoppedError(
                f"etcd holds no value under {job.plan.new}: nothing proves that it is in use",
                cause=f"{found.values} values were read, none of {', '.join(job.plan.resources)} among them",
                hint=(
                    "create an object of the encrypted resource, then: keyctl rotate --resume",
                    "or go back: keyctl rotate --abort",
                ),
                rule="verified",
            )
        self._revisions = revisions
        job.observer.proofs = replace(job.observer.proofs, verified=found.revision)
        fields = {"of": "verified", "revision": found.revision, "values": found.values, "leaving": 0, "under": under}
        job.write("proof", {**fields, "settled": self._settled()})
        return True

    def clear_history(self, *, ever_written: bool) -> None:
        """R6: revisions that show values under a leaving key cannot be asked for any more, or that is said to be fine.

        `ever_written` False: nothing was ever written with it, so there is no such revision.
        """
        job = self._job
        for server in job.world.servers:
            # NOTE: what is not looked at is not proven; a server may have been given another etcd since (R3).
            check_etcd_flags(job.world, server.name, flags_of(server))
        mode = job.plan.history if ever_written else History.IGNORE
        if self._revisions is None:
            raise RuntimeError("history is cleared without a scan that proved it")
        places = self._revisions
        if ever_written:
            job.write("intent", {"step": "note-history"})
            note_history(job.world, places, (ref for ref in job.readings.leaving if ref != IDENTITY))
        if mode is History.COMPACT:
            job.write("intent", {"step": "compact"})
            for place, revision in places:
                job.reporter.event(Event("step", f"compacting {place.endpoints[0]} at revision {revision}"))
                place.etcd.compact(revision)
        if mode is not History.IGNORE:
            self._await_compaction([(place.endpoints[0], place.etcd.is_compacted, rev) for place, rev in places])
        compacted = [{"etcd": place.endpoints[0], "revision": revision} for place, revision in places]
        job.observer.proofs = replace(job.observer.proofs, history=True)
        job.write(
            "proof",
            {"of": "history", "mode": mode.value, "compacted": compacted if mode is not History.IGNORE else []},
        )

    def resecure(self) -> None:
        """The store's copy of each old key opens what was under it; a second snapshot opens without the old keys."""
        job, configs = self._job, self._job.readings.configs
        job.reporter.event(Event("step", "opening the first snapshot with the key store's copy of the old keys"))
        old = tuple(ref for ref in job.plan.old_refs if ref.provider in STATIC_PROVIDERS)
        opened = open_archive(job.world, self._first, configs.archive, old)
        job.write("intent", {"step": "save-snapshot"})
        tag = f"{job.plan.rotation}-after"
        try:
            snapshots = save_snapshots(job.world, configs.retired, tag=tag, reporter=job.reporter)
        except StoppedError:
            if not job.readings.under_leaving(job.readings.scan()):
                raise
            # A value landed after the proof, before any file lost the key: rewrite it, and prove again.
            job.observer.proofs = Proofs()
            return
        self.resecured = True
        job.write(
            "proof",
            {
                "of": "resecured",
                "opened": {str(ref): count for ref, count in opened.items()},
                "snapshots": [snapshot.to_record() for snapshot in snapshots],
            },
        )

    def prove_gone(self, prove_server: Callable[[str], None]) -> None:
        """A scan with the leaving keys in hand finds nothing under them; then every server lists everything.

        What it finds is `late`: some server cannot read it.
        """
        job = self._job
        found = job.readings.scan()
        count = job.readings.under_leaving(found)
        if count:
            self.found_late(count)
            return
        for server in job.world.servers:
            prove_server(server.name)
        if job.observer.unchanged():
            job.observer.proofs = replace(job.observer.proofs, gone=found.revision)
            of = "gone" if job.way is Way.BACK else "retired"
            fields = {"of": of, "revision": found.revision, "values": found.values, "leaving": 0}
            job.write("proof", {**fields, "settled": self._settled()})
        else:
            job.observer.proofs = replace(job.observer.proofs, settled_again=False)

    def found_late(self, count: int) -> None:
        """Values are under a key that some server has let go: from now on the way is to put it back."""
        job = self._job
        self.late = count
        job.observer.proofs = Proofs()
        job.write("proof", {"of": "late", "values": count})
        message = f"{count} values turned up under a key that was leaving: it is put back everywhere"
        job.reporter.event(Event("late", message, {"values": count}))

    def turned_up(self) -> StoppedError:
        """The end of a run in which values turned up late, once they are under the key that stays."""
        values = "1 value" if self.late == 1 else f"{self.late} values"
        return StoppedError(
            f"{values} had landed under a key that was leaving: that key is back in every file, and they are rewritten",
            cause="a request that was begun earlier outlasted the settle time",
            hint=(
                "every server reads every value: this state is safe",
                "raise policy.settle if this happens again; go on with: keyctl rotate --resume",
            ),
            rule="R3",
        )

    def _settled(self) -> float:
        """For how many seconds nothing has changed, by the clock that nobody sets."""
        return round(self._job.world.clock.monotonic() - self._since, 3)

    def _wait_out(self, since: float) -> None:
        """Wait until the settle time has passed since `since`, and since any server was last seen not ready."""
        job, clock = self._job, self._job.world.clock
        until = since + job.plan.settle
        reminded = -_REMIND
        while (left := until - clock.monotonic()) > 0:
            if clock.monotonic() - reminded >= _REMIND:
                reminded = clock.monotonic()
                message = f"settling: {left:.0f} s until no older request can still write"
                job.reporter.event(Event("wait", message, {"left": round(left)}))
            job.breathe()
            clock.sleep(min(left, _POLL))
            if not all(server.api.probe().ready for server in job.world.servers):
                # NOTE: its link to etcd may be what is stalled, with writes in it.
                until = clock.monotonic() + job.plan.settle

    def _await_compaction(self, places: list[tuple[str, Callable[[int], bool], int]]) -> None:
        job, clock = self._job, self._job.world.clock
        begun = reminded = clock.monotonic()
        while missing := [endpoint for endpoint, compacted, revision in places if not compacted(revision - 1)]:
            waited = clock.monotonic() - begun
            if waited > _COMPACTION_WAIT:
                raise StoppedError(
                    f"nobody has compacted {missing[0]} for {waited / 60:.0f} minutes",
                    cause="old list tokens would still find values under the old key, which nothing would open",
                    hint="kube-apiserver compacts every 5 minutes unless --etcd-compaction-interval is 0; "
                    "or compact now: keyctl rotate --resume --history compact",
                    rule="R6",
                )
            if clock.monotonic() - reminded >= _REMIND:
                reminded = clock.monotonic()
                job.reporter.event(Event("wait", f"waiting for {missing[0]} to be compacted: {waited:.0f} s"))
            job.breathe()
            clock.sleep(_POLL)
