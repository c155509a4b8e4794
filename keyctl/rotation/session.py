"""Begin a rotation, or go on with one: locks, preflight, plan, run, end."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from keyctl.errors import InterruptedEarlyError, RefusedError, StoppedError, UnreachableError
from keyctl.keys.generate import generate
from keyctl.keys.key import Key
from keyctl.kube.interface import ApiServer
from keyctl.rotation import outline
from keyctl.rotation.journal import Journal, LocalLock
from keyctl.rotation.observe import require_access
from keyctl.rotation.plan import Plan, ServerPlan, State, plan_from_record
from keyctl.rotation.preflight import Facts, Wish, check
from keyctl.rotation.run import Run
from keyctl.rotation.scan import Scan
from keyctl.rotation.secure import keep_keys, read_back, save_snapshots
from keyctl.rotation.stages import hashes
from keyctl.rotation.world import Event, Reporter, World


@dataclass(frozen=True, slots=True)
class Finished:
    """A rotation that reached `verified`."""

    plan: Plan
    scan: Scan


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

    def outline(self, wish: Wish) -> tuple[str, ...]:
        """What `start` would do, after the same checks; changes nothing."""
        return outline.lines(self._world, check(self._world, wish, self._reporter))

    def start(self, wish: Wish, *, confirm: Callable[[tuple[str, ...]], bool]) -> Finished:
        """Begin a new rotation and carry it to `verified`."""
        self._lock.acquire()
        try:
            if self._journal.unfinished():
                raise RefusedError(
                    "a rotation of this cluster is under way", hint="go on with it: keyctl rotate --resume", rule="R8"
                )
            return self._guarded(lambda: self._start(wish, confirm))
        finally:
            self._lock.release()

    def resume(self) -> Finished:
        """Go on with the rotation that the journal knows. Raises `RefusedError` when there is none."""
        self._lock.acquire()
        try:
            plan = self._unfinished_plan()
            return self._guarded(lambda: self._resume(plan))
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

    def _start(self, wish: Wish, confirm: Callable[[tuple[str, ...]], bool]) -> Finished:
        self._reporter.event(Event("state", State.PREFLIGHT.value, {"state": State.PREFLIGHT.value}))
        facts = check(self._world, wish, self._reporter)
        if not confirm(outline.lines(self._world, facts)):
            raise InterruptedEarlyError("not confirmed; nothing was changed")
        self._stop_after(State.PREFLIGHT)
        self._pause()
        self._world.lease.acquire()
        _check_still_so(facts)
        rotation = self._world.clock.now().strftime("%Y%m%dt%H%M%Sz-") + secrets.token_hex(2)
        self._begun = True
        self._write("attempt", rotation, {"goal": wish.goal.value})
        key = self._secure(facts, rotation)
        plan = self._make_plan(facts, rotation, key)
        self._write("begin", rotation, {"plan": plan.to_record()})
        self._planned = True
        return self._run(plan, key, facts.served)

    def _secure(self, facts: Facts, rotation: str) -> Key:
        self._write("intent", rotation, {"step": "keep-keys"})
        keep_keys(self._world, facts)
        config = facts.servers[0].config
        self._write("intent", rotation, {"step": "save-snapshot"})
        snapshots = save_snapshots(self._world, config, tag=rotation, reporter=self._reporter)
        files = [{"path": str(s.path), "sha256": s.sha256, "size": s.size} for s in snapshots]
        self._write("secured", rotation, {"snapshots": files})
        self._state(State.SECURED)
        self._pause()
        key = generate(facts.provider, now=self._world.clock.now())
        self._write("intent", rotation, {"step": "store-key", "key": str(key.ref), "fingerprint": key.fingerprint})
        self._world.store.put(key, origin="generated")
        read_back(self._world, key)
        self._write("outcome", rotation, {"step": "store-key", "key": str(key.ref)})
        self._state(State.GENERATED)
        return key

    def _make_plan(self, facts: Facts, rotation: str, key: Key) -> Plan:
        servers = []
        for server in facts.servers:
            base = None if server.file is None else server.file.content
            name = f"{server.server.name}:{server.server.config_path}"
            files = hashes(base, key, resources=facts.resources, entries=facts.entries, name=name)
            flag_missing = not server.flags.encryption_provider_config
            servers.append(ServerPlan(server.server.name, files, flag_missing))
        return Plan(
            rotation=rotation,
            goal=facts.wish.goal,
            cluster=self._world.cluster,
            cluster_uid=facts.uid,
            new=key.ref,
            fingerprint=key.fingerprint,
            old=facts.old,
            entries=facts.entries,
            resources=facts.resources,
            servers=tuple(servers),
        )

    def _unfinished_plan(self) -> Plan:
        records = self._journal.unfinished()
        if not records:
            raise RefusedError(
                "no rotation of this cluster is under way here",
                cause=f"{self._journal.path} has none that was begun and not ended",
                hint="begin one: keyctl rotate",
            )
        plan = records[0].get("plan")
        return plan_from_record(plan if isinstance(plan, dict) else {})

    def _resume(self, plan: Plan) -> Finished:
        self._planned = True
        listed, planned = {s.name for s in self._world.servers}, {s.name for s in plan.servers}
        if listed != planned:
            raise RefusedError(
                f"the cluster file lists other API servers than this rotation began with: {min(listed ^ planned)}",
                hint="list the same servers while a rotation is under way",
                rule="R11",
            )
        key = self._world.store.get(plan.new)
        if key is None or key.fingerprint != plan.fingerprint:
            raise RefusedError(
                f"the key store at {self._world.store.location} does not hold {plan.new}",
                hint="use the key store that this rotation began with",
                rule="R5",
            )
        run = self._new_run(plan, key, {})
        api = self._ready_api()
        if api is not None:
            # NOTE: first the Lease, for the temporaries on the hosts may be those of somebody who holds it; then the
            # sweep, for a file torn by a kill is whole only after it; only then can the cluster be told from another.
            self._world.lease.acquire()
            self._sweep()
            run.check_cluster(api)
        self._begun = True
        self._write("resume", plan.rotation, {})
        if api is None:
            self._sweep()
            api = self._revive(run)
            run.check_cluster(api)
            self._world.lease.acquire()
        return self._run(plan, key, api.discover())

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

    def _revive(self, run: Run) -> ApiServer:
        """With no server up (a single one, killed in mid-restart), start one that has a file of ours."""
        for server in self._world.servers:
            if not server.reloads and run.restart_if_ours(server.name):
                return server.api
        raise RefusedError("no API server is ready", hint="bring one back, then: keyctl rotate --resume", rule="R11")

    def _run(self, plan: Plan, key: Key, served: dict[str, str]) -> Finished:
        found = self._new_run(plan, key, served).go()
        self._write("intent", plan.rotation, {"step": "note-state", "key": str(plan.new)})
        self._world.store.note_state(plan.new, "active")
        self._write("end", plan.rotation, {"state": State.VERIFIED.value, "revision": found.revision})
        return Finished(plan, found)

    def _new_run(self, plan: Plan, key: Key, served: dict[str, str]) -> Run:
        return Run(
            self._world,
            plan,
            key,
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
        return ("every server reads every value: this state is safe", "go on with: keyctl rotate --resume")

    def _write(self, kind: str, rotation: str, fields: Mapping[str, object]) -> None:
        self._journal.append(kind, self._world.clock.now(), {"rotation": rotation, **fields})


def _check_still_so(facts: Facts) -> None:
    """The files are those that the plan was made from: asking the user may have taken a while (R8)."""
    for seen in facts.servers:
        path = seen.server.config_path
        file = seen.server.host.read(path)
        if (None if file is None else file.sha256) != (None if seen.file is None else seen.file.sha256):
            raise RefusedError(
                f"{path} on {seen.server.name} was changed after the plan was made",
                hint="run the same command again and look at its plan",
                rule="R8",
            )
