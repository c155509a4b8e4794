"""Begin a rotation, or go on with one: locks, preflight, plan, run, end."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from keyctl.encryption_config.plugin import Writer
from keyctl.errors import InterruptedEarlyError, RefusedError, StoppedError, UnreachableError, WrongUsageError
from keyctl.keys.generate import generate
from keyctl.keys.key import STATIC_PROVIDERS, Key, Provider
from keyctl.kube.interface import ApiServer
from keyctl.rotation import agreed, outline
from keyctl.rotation.background import Background, background_of
from keyctl.rotation.etcd_room import alarm, full
from keyctl.rotation.evidence import Evidence
from keyctl.rotation.evidence import write as write_evidence
from keyctl.rotation.exposure import Exposed, exposure
from keyctl.rotation.exposure import write as write_list
from keyctl.rotation.joining import joined_servers, plan_of
from keyctl.rotation.journal import Journal, LocalLock, as_record
from keyctl.rotation.key_states import note_compromised, note_end, note_writes
from keyctl.rotation.known_keys import known_key, old_keys_of
from keyctl.rotation.loaded import remembered
from keyctl.rotation.observe import require_access
from keyctl.rotation.plan import Engine, History, Plan, State, Way
from keyctl.rotation.planning import check_files, check_still_so, make_plan
from keyctl.rotation.preflight import Facts, Wish, check
from keyctl.rotation.rehearsal import rehearse
from keyctl.rotation.run import Run
from keyctl.rotation.same_bytes import names_of
from keyctl.rotation.scan import Scan
from keyctl.rotation.secure import keep_keys, read_back, save_snapshots
from keyctl.rotation.server_facts import check_etcd_flags, check_settle, flags_of
from keyctl.rotation.stages import IDENTITY
from keyctl.rotation.upgrade_check import warn_of_upgrade
from keyctl.rotation.world import Event, Reporter, World

# The last state, by the way and by whether old keys leave.
_END = {
    (Way.FORWARD, True): State.RETIRED,
    (Way.FORWARD, False): State.VERIFIED,
    (Way.BACK, True): State.ABORTED,
    (Way.BACK, False): State.ABORTED,
}


@dataclass(frozen=True, slots=True)
class Finished:
    """A rotation that reached the end of its way, proven by `scan`."""

    plan: Plan
    state: State
    scan: Scan
    evidence: Evidence
    exposed: Exposed | None = None


class Session:
    """One command's worth of rotation.

    `pause` raises when the user wants to stop; `confirm` gets the outline and
    says whether to go on.
    """

    def __init__(
        self,
        world: World,
        journal: Journal,
        lock: LocalLock,
        reporter: Reporter,
        *,
        pause: Callable[[], None],
        pause_after: State | None = None,
    ) -> None:
        self._world = world
        self._journal = journal
        self._lock = lock
        self._reporter = reporter
        self._pause = pause
        self._pause_after = pause_after
        self._begun = False
        self._planned = False
        self._run_now: Run | None = None

    def agree(self, wish: Wish, *, rehearsed: bool = False) -> agreed.AgreedPlan:
        """What `start` would do, after the same checks, as a plan that it can be held to later; changes nothing.

        With `rehearsed` every patch is sent as a dry run first: see `rehearsal`.
        """
        self._require_none_under_way()
        facts = self._check(wish)
        lines = outline.lines(self._world, facts)
        if rehearsed:
            lines = (*lines, *rehearse(self._world, facts, self._reporter, breathe=self._pause).in_words())
        return agreed.AgreedPlan(
            cluster=self._world.cluster,
            made=self._world.clock.now().isoformat(timespec="seconds"),
            wish=wish,
            lines=lines,
            observed=agreed.observed(self._world, facts),
        )

    def outline_back(self) -> tuple[str, ...]:
        """What `abort` would do; changes nothing. Raises `RefusedError` when no rotation is under way."""
        return outline.back(self._world, self._unfinished_plan())

    def start(
        self, wish: Wish, *, confirm: Callable[[tuple[str, ...]], bool], plan: agreed.AgreedPlan | None = None
    ) -> Finished:
        """Begin a new rotation and carry it to its end; with `plan`, only while all that it was made from stands."""
        self._lock.acquire()
        try:
            self._require_none_under_way()
            return self._guarded(lambda: self._start(wish, confirm, plan))
        finally:
            self._lock.release()

    def resume(self, *, history: History | None = None, engine: Engine | None = None) -> Finished:
        """Go on with the rotation that the journal knows, on the way it was on. `RefusedError` when there is none.

        `history` and `engine` replace what the plan says of them.
        """
        self._lock.acquire()
        try:
            plan = self._unfinished_plan()
            return self._guarded(lambda: self._resume(plan, confirm=None, history=history, engine=engine))
        finally:
            self._lock.release()

    def abort(self, *, confirm: Callable[[tuple[str, ...]], bool], engine: Engine | None = None) -> Finished:
        """Turn the rotation that the journal knows around, and bring everything back to how it was (R7)."""
        self._lock.acquire()
        try:
            plan = self._unfinished_plan()
            return self._guarded(lambda: self._resume(plan, confirm=confirm, history=None, engine=engine))
        finally:
            self._lock.release()

    def _guarded(self, work: Callable[[], Finished]) -> Finished:
        """Give the Lease back; say where things stand when the user interrupts or a connection is lost (exit 6)."""
        try:
            return work()
        except KeyboardInterrupt as exc:
            if not self._begun:
                raise InterruptedEarlyError("interrupted; nothing was changed") from exc
            raise StoppedError("interrupted part-way", hint=self._way_on()) from exc
        except UnreachableError as exc:
            self._blame_a_full_etcd(exc)
            if not self._begun:
                raise
            raise StoppedError(f"stopped part-way: {exc}", cause=exc.cause, hint=(*exc.hints, *self._way_on())) from exc
        except OSError as exc:
            if not self._begun:
                raise
            what = f"{exc.filename}: {exc.strerror}" if exc.filename else str(exc.strerror)
            raise StoppedError("stopped part-way by the file system", cause=what, hint=self._way_on()) from exc
        finally:
            # NOTE: who is impatient here must still be told how things stand; the Lease runs out by itself.
            with suppress(KeyboardInterrupt):
                self._world.lease.release()

    def _blame_a_full_etcd(self, exc: UnreachableError) -> None:
        """Raise `StoppedError` where what failed may have failed because etcd takes no writes for want of space."""
        room = alarm(place.etcd for place in self._world.etcds) if self._planned else None
        if room is not None:
            raise full(room, str(exc), standing=self._way_on()[:1]) from exc

    def _start(
        self, wish: Wish, confirm: Callable[[tuple[str, ...]], bool], plan_agreed: agreed.AgreedPlan | None
    ) -> Finished:
        self._reporter.event(Event("state", State.PREFLIGHT.value, {"state": State.PREFLIGHT.value}))
        facts = self._check(wish)
        if plan_agreed is not None:
            agreed.require_the_same(plan_agreed, agreed.observed(self._world, facts))
        if not confirm(outline.lines(self._world, facts)):
            raise InterruptedEarlyError("not confirmed; nothing was changed")
        self._stop_after(State.PREFLIGHT)
        self._pause()
        self._world.lease.acquire()
        check_still_so(facts)
        rotation = self._world.clock.now().strftime("%Y%m%dt%H%M%Sz-") + secrets.token_hex(2)
        self._begun = True
        self._write("attempt", rotation, {"goal": wish.goal.value, "who": self._world.operator})
        new, first = self._secure(facts, rotation)
        plan = make_plan(self._world, facts, rotation, new)
        self._write(
            "counts", rotation, {"of": "before", "revision": facts.scan.revision, "groups": facts.scan.counts()}
        )
        self._write("begin", rotation, {"plan": plan.to_record()})
        self._planned = True
        self._state(State.GENERATED)
        return self._run(plan, new, facts.served, Background(first_snapshots=first))

    def _require_none_under_way(self) -> None:
        records = self._journal.unfinished()
        if records:
            raise RefusedError(
                "a rotation of this cluster is under way",
                cause=f"rotation {records[0].get('rotation')} was begun at {records[0].get('at')}, and has had no end",
                hint="go on with it: keyctl rotate --resume",
                rule="R8",
            )

    def _check(self, wish: Wish) -> Facts:
        clock = self._world.clock
        loads = remembered(self._journal.records(), now=clock.now(), monotonic=clock.monotonic())
        facts = check(self._world, wish, self._reporter, loads=loads)
        check_files(facts, now=self._world.clock.now())
        return facts

    def _secure(self, facts: Facts, rotation: str) -> tuple[Writer | None, tuple[Path, ...]]:
        self._write("intent", rotation, {"step": "keep-keys"})
        keep_keys(self._world, facts)
        config = facts.servers[0].config
        self._write("intent", rotation, {"step": "save-snapshot"})
        snapshots = save_snapshots(self._world, config, tag=rotation, reporter=self._reporter)
        self._write("secured", rotation, {"snapshots": [snapshot.to_record() for snapshot in snapshots]})
        self._state(State.SECURED)
        self._pause()
        new = self._new_key(facts, rotation) if facts.provider in STATIC_PROVIDERS and not facts.writer else None
        key = facts.plugin if facts.provider is Provider.KMS else facts.writer or new
        return key, tuple(snapshot.path for snapshot in snapshots)

    def _new_key(self, facts: Facts, rotation: str) -> Key:
        key = facts.renamed or generate(facts.provider, now=self._world.clock.now())
        self._write("intent", rotation, {"step": "store-key", "key": str(key.ref), "fingerprint": key.fingerprint})
        self._world.store.put(key, origin="renamed" if facts.renamed else "generated")
        read_back(self._world, key)
        self._write("outcome", rotation, {"step": "store-key", "key": str(key.ref)})
        return key

    def _unfinished_plan(self) -> Plan:
        records = self._journal.unfinished()
        if not records:
            raise RefusedError(
                "no rotation of this cluster is under way here",
                cause=f"{self._journal.path} has none that was begun and not ended",
                hint="begin one: keyctl rotate",
                rule="R17",
            )
        return plan_of(records)

    def _resume(
        self,
        plan: Plan,
        *,
        confirm: Callable[[tuple[str, ...]], bool] | None,
        history: History | None,
        engine: Engine | None,
    ) -> Finished:
        """Go on with `plan`; with `confirm`, backwards. `history` and `engine` are what was asked for, if anything."""
        self._planned = True
        joined = joined_servers(self._world, plan)
        plan = replace(plan, servers=(*plan.servers, *(one.plan for one in joined)))
        warn_of_upgrade(self._world, self._reporter)
        for server in self._world.servers:
            flags = flags_of(server)
            check_settle(self._world, server.name, flags)
            check_etcd_flags(self._world, server.name, flags)
        background = background_of(self._journal.of(plan.rotation))
        plan = replace(
            plan,
            settle=self._world.settle,
            history=history or background.history or plan.history,
            engine=engine or background.engine or plan.engine,
        )
        new = self._planned_key(plan)
        if confirm is not None and background.way is Way.FORWARD:
            if not confirm(outline.back(self._world, plan)):
                raise InterruptedEarlyError("not confirmed; the rotation is where it was")
            background = replace(background, way=Way.BACK)
        if background.way is Way.BACK and self._pause_after is not None:
            raise WrongUsageError(
                "this rotation goes back, and has no such state on its way", hint="leave --pause-after out"
            )
        run = self._new_run(plan, new, {}, background)
        api = self._ready_api()
        # NOTE: first the Lease, for the temporaries on the hosts may be those of somebody who holds it; then the sweep,
        # for a file torn by a kill is whole only after it; only then can the cluster be told from another.
        held = self._take_lease(must=api is not None)
        self._sweep()
        if api is None:
            run.check_etcd()
        else:
            run.check_cluster(api)
        self._begun = True
        for one in joined:
            self._write("joined", plan.rotation, one.to_record())
        how = {"history": plan.history.value, "engine": plan.engine.value}
        fields = {"who": self._world.operator, "settle": plan.settle, **how}
        self._write("abort" if confirm is not None else "resume", plan.rotation, fields)
        if api is None:
            self._run_now = run
            api, late = run.revive()
            background = replace(background, late=late)
            run.check_cluster(api)
            if not held:
                self._world.lease.acquire()
        return self._run(plan, new, api.discover(), background)

    def _take_lease(self, *, must: bool) -> bool:
        """Take the Lease; False where no server is up that could give it, which is fine unless it `must` be had."""
        try:
            self._world.lease.acquire()
        except UnreachableError:
            if must:
                raise
            return False
        return True

    def _planned_key(self, plan: Plan) -> Writer | None:
        """The new key, as the plan knows it; None for plaintext. Raises `RefusedError` (R5) for any other."""
        if plan.new.provider is Provider.KMS:
            return plan.plugin
        return None if plan.new == IDENTITY else known_key(self._world, plan.new, plan.fingerprint)

    def _sweep(self) -> None:
        for server in self._world.servers:
            for path in (server.config_path, server.manifest_path):
                if path:
                    server.host.sweep(path)

    def _ready_api(self) -> ApiServer | None:
        for server in self._world.servers:
            probe = server.api.probe()
            require_access(probe)
            if probe.ready:
                return server.api
        return None

    def _run(self, plan: Plan, new: Writer | None, served: dict[str, str], background: Background) -> Finished:
        note_compromised(self._world, plan)
        self._run_now = run = self._new_run(plan, new, served, background)
        found = run.go()
        state = _END[background.way, plan.retires]
        note_end(self._world, plan, state, lambda kind, fields: self._write(kind, plan.rotation, fields))
        note_writes(self._world, plan, state, self._journal.of(plan.rotation))
        exposed = self._exposed(plan)
        self._write("counts", plan.rotation, {"of": "after", "revision": found.revision, "groups": found.counts()})
        end: dict[str, object] = {"state": state.value, "revision": found.revision}
        # NOTE: before the journal's own last record: a run that dies in between comes back here.
        last = as_record("end", self._world.clock.now(), {"rotation": plan.rotation, **end})
        directory = self._journal.path.parent / "evidence" / plan.rotation
        evidence = write_evidence(directory, (*self._journal.of(plan.rotation), last))
        self._write("end", plan.rotation, end)
        return Finished(plan, state, found, evidence, exposed)

    def _exposed(self, plan: Plan) -> Exposed | None:
        """The list of what was ever stored under the key that has leaked."""
        if plan.compromised is None:
            return None
        self._reporter.event(Event("step", f"listing every object that was ever stored under {plan.compromised}"))
        known = background_of(self._journal.of(plan.rotation))
        names = names_of(self._world, None, plan.compromised)
        found = exposure(self._world, names, (*known.first_snapshots, *known.exposing))
        directory = self._journal.path.parent / "exposed"
        told = write_list(directory, found, self._world.prefix, rotation=plan.rotation)
        self._write("exposed", plan.rotation, told.to_record())
        return told

    def _new_run(self, plan: Plan, new: Writer | None, served: dict[str, str], background: Background) -> Run:
        return Run(
            self._world,
            plan,
            new,
            old_keys_of(self._world, plan.old, plan.plugin),
            background=background,
            served=served,
            journal=self._journal,
            reporter=self._reporter,
            pause=self._pause,
            pause_after=self._pause_after,
        )

    def _state(self, state: State) -> None:
        self._reporter.event(Event("state", state.value, {"state": state.value}))
        self._stop_after(state)

    def _stop_after(self, state: State) -> None:
        if self._pause_after is state:
            raise StoppedError(f"paused in state {state.value}, as asked", hint=self._way_on())

    def _way_on(self) -> tuple[str, ...]:
        if not self._planned:
            return ("no server was touched yet; begin again with the same command",)
        if self._run_now is not None:
            return self._run_now.where_it_stands()
        return ("nothing was changed since", "go on with: keyctl rotate --resume", "or go back: keyctl rotate --abort")

    def _write(self, kind: str, rotation: str, fields: Mapping[str, object]) -> None:
        self._journal.append(kind, self._world.clock.now(), {"rotation": rotation, **fields})
