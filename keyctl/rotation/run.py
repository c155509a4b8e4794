"""Carry a rotation through: observe, decide, journal the intent, act, journal the outcome, observe again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from keyctl.encryption_config.plugin import Writer
from keyctl.errors import RefusedError, StoppedError, UnreachableError
from keyctl.kube.interface import ApiServer
from keyctl.rotation import machine, steps
from keyctl.rotation.background import Background
from keyctl.rotation.closing import CLOSED, WindowClosedError, can_rest_in
from keyctl.rotation.effects import NotServingError, ServerEffects, UnreadableThereError
from keyctl.rotation.journal import Journal
from keyctl.rotation.kms_values import check_one_key
from keyctl.rotation.leaving import Job, Leaving
from keyctl.rotation.loaded import remembered
from keyctl.rotation.observation import Observation, Proofs
from keyctl.rotation.observe import Observer
from keyctl.rotation.override_binding import check_overrides
from keyctl.rotation.plan import Plan, Stage, State, Way
from keyctl.rotation.plugin_rewriting import put_back_for
from keyctl.rotation.preflight import check_binding
from keyctl.rotation.readings import Readings
from keyctl.rotation.revival import Revival
from keyctl.rotation.rewriting import rewrite, site_of
from keyctl.rotation.scan import Scan
from keyctl.rotation.stages import Files
from keyctl.rotation.switch import prove_writes
from keyctl.rotation.world import Event, Reporter, World

_POLL = 1.0
# Endpoints and Leases follow a restart within a few of the servers' own 10 s rounds.
_CENSUS_WAIT = 60.0


class Run:
    """One process's work on one plan, from wherever the cluster stands to the end of its way.

    `new` is None for plaintext; `old` are the old keys as the key store gives
    them. `pause` is called between acts and while waiting; it raises
    `StoppedError` when the user wants to stop. `pause_after` stops once that state
    is proven.
    """

    def __init__(
        self,
        world: World,
        plan: Plan,
        new: Writer | None,
        old: Sequence[Writer],
        *,
        background: Background,
        served: dict[str, str],
        journal: Journal,
        reporter: Reporter,
        pause: Callable[[], None],
        pause_after: State | None = None,
    ) -> None:
        self._world = world
        self._plan = plan
        self._background = background
        self._served = served
        self._journal = journal
        self._reporter = reporter
        self._pause = pause
        self._pause_after = pause_after
        files = Files(plan.change, plan.old, new, old)
        self._readings = Readings(world, plan, files, way=background.way, served=served)
        loads = remembered(journal.records(), now=world.clock.now(), monotonic=world.clock.monotonic())
        self._observer = Observer(world, plan, way=background.way, loads=loads, promoted=background.ever_promoted)
        self._effects = ServerEffects(
            world,
            plan,
            files,
            loads=loads,
            served=served,
            kms=self._readings.sealed,
            reporter=reporter,
            write=self._write,
            pause=self._breathe,
        )
        self._job = Job(
            world,
            plan,
            background.way,
            self._readings,
            self._effects,
            self._observer,
            reporter,
            self._write,
            self._breathe,
        )
        self._leaving = Leaving(self._job, background)
        self._state = State.GENERATED
        self._changed_at = world.clock.monotonic()
        self._ever_promoted = background.ever_promoted
        self._holds_lease = False
        # NOTE: until it is looked at, what the journal says of it.
        self.between_proofs, self._nobody_up = background.let_go, False
        self._step: steps.Step | None = None

    def go(self) -> Scan:
        """Walk to the end of the way, with the Lease held; returns the scan that proved it.

        Raises `RefusedError`, `StoppedError` or `UnreachableError`; the rotation can be resumed after each of them.
        """
        self._holds_lease = True
        count = self._readings.under_leaving(self._readings.scan())
        seen = self._look()
        if count and seen.leaves and self._somebody_let_go(seen):
            self._leaving.found_late(count)
            seen = self._look()
        while True:
            self._note_state(seen)
            step = machine.next_step(seen)
            if isinstance(step, steps.Blocked):
                raise RefusedError(step.message, hint=step.hint, rule=step.rule)
            if isinstance(step, steps.Done):
                if self._readings.last is None:
                    raise RuntimeError("done without a scan")
                return self._readings.last
            self._step = None
            self._breathe()
            self._step = step
            if steps.stage_after(step) is seen.way.goal:
                # NOTE: also for whoever is stopped before anybody has looked at it.
                self.between_proofs = True
            try:
                self._act(step, seen)
            except (UnreadableThereError, NotServingError):
                if not self._landed_late(step, seen):
                    raise
            seen = self._look()

    def revive(self) -> tuple[ApiServer, int]:
        """See `Revival.first_server`; for when no server is up to hold the Lease through."""
        self._nobody_up = True
        api, late = Revival(self._job, self._journaled).first_server()
        if late:
            self._leaving.found_late(late)
        return api, late

    def check_etcd(self) -> None:
        """See `Revival.check_etcd`."""
        Revival(self._job, self._journaled).check_etcd()

    def check_cluster(self, api: ApiServer) -> None:
        """This is the cluster that the plan was made for, or `UnreachableError`."""
        if check_binding(self._world, self._readings.configs.promoted, api) != self._plan.cluster_uid:
            raise UnreachableError(
                "this is not the cluster that the rotation began on",
                cause="the uid of namespace kube-system is another one",
                hint="use the cluster file that the rotation began with",
                rule="preflight",
            )
        check_overrides(self._world, self._readings.configs.promoted, api, api.discover())

    def _somebody_let_go(self, seen: Observation) -> bool:
        goal = seen.way.goal
        # NOTE: a server with any other file did not let go on this way: it lost its flag.
        near = [server for server in seen.servers if server.disk in {goal, seen.way.last}]
        without_flag = goal is Stage.BASE and any(server.flag_missing for server in near)
        return without_flag or any(goal in (server.disk, server.loaded) for server in near)

    def _turned_up_meanwhile(self, seen: Observation) -> bool:
        """Whether there is something to rewrite that a server which has let go cannot read (R3)."""
        if not seen.leaves or seen.late or not self._somebody_let_go(seen):
            return False
        count = self._readings.under_leaving(self._readings.scan())
        if count:
            self._leaving.found_late(count)
        return count > 0

    def _landed_late(self, step: steps.Step, seen: Observation) -> bool:
        """Whether a value under a leaving key is why a server may not let go of it, or did and does not serve."""
        if not seen.leaves or seen.late:
            return False
        gone = self._somebody_let_go(self._look())
        if not gone and steps.stage_after(step) is not seen.way.goal:
            return False
        try:
            count = self._readings.under_leaving(self._readings.scan())
        except StoppedError:
            return False
        if count and gone:
            self._leaving.found_late(count)
        elif count:
            self._observer.proofs = Proofs()
        return count > 0

    def _act(self, step: steps.Step, seen: Observation) -> None:
        match step:
            case steps.WriteFile(server, stage):
                self._write_file(step, server, stage)
            case steps.EditManifest(server):
                self._journaled(step, lambda: self._effects.edit_manifest(server))
            case steps.RestoreManifest(server):
                self._observer.moving(server, Stage.BASE)
                self._journaled(step, lambda: self._effects.restore_manifest(server))
            case steps.Restart(server, stage):
                put_back_for(self._job, site_of(self._job, self._served), server)
                self._journaled(step, lambda: self._effects.restart(server, stage))
            case steps.AwaitLoaded(servers):
                self._effects.await_loaded(servers)
            case steps.ProveServer(server):
                self._prove_server(server)
            case steps.ProveReadable():
                self._prove_readable()
            case steps.Switch():
                self._journaled(step, self._switch)
            case steps.Rewrite():
                if not self._turned_up_meanwhile(seen):
                    self._rewrite()
            case _:
                self._leave(step)

    def _leave(self, step: steps.Step) -> None:
        match step:
            case steps.Settle():
                self._leaving.settle(self._changed_at)
            case steps.ProveVerified():
                if not self._leaving.prove_verified():
                    self._changed_at = self._world.clock.monotonic()
            case steps.ClearHistory():
                self._leaving.clear_history(ever_written=self._ever_promoted or self._background.way is Way.FORWARD)
            case steps.Resecure():
                self._leaving.resecure()
            case steps.SettleAgain():
                self._leaving.settle_again(self._changed_at)
            case steps.ProveGone():
                self._leaving.prove_gone(self._prove_server)
            case steps.TurnedUp():
                raise self._leaving.turned_up()

    def _write_file(self, step: steps.Step, server: str, stage: Stage) -> None:
        if stage is Stage.PROMOTED:
            self._ever_promoted = True
        self._observer.moving(server, stage)
        self._journaled(step, lambda: self._effects.write_file(server, stage))

    def _journaled(self, step: steps.Step, effect: Callable[[], None]) -> None:
        fields = _step_fields(step)
        self._reporter.event(Event("step", _step_text(step), fields))
        self._write("intent", fields)
        effect()
        self._write("outcome", fields)

    def _look(self) -> Observation:
        """What is seen now; a census that does not agree gets some time, for it follows a restart slowly (R11)."""
        clock = self._world.clock
        deadline = clock.monotonic() + _CENSUS_WAIT
        while (seen := self._observer.look()).census_problem and clock.monotonic() < deadline:
            self._breathe()
            clock.sleep(_POLL)
        return replace(seen, resecured=self._leaving.resecured, late=self._leaving.late)

    def _prove_server(self, name: str) -> None:
        proven = self._effects.prove(name)
        loaded = proven.loaded
        stage = self._plan.server(name).stage_of(loaded.hash) if loaded.by else None
        self._observer.note_server(name, proven.probe, stage)
        self._changed_at = self._world.clock.monotonic()
        fields = {
            "of": "server",
            "server": name,
            "stage": None if stage is None else stage.name,
            "loaded": loaded.hash,
            "loadedBy": loaded.by,
            "startTime": proven.probe.start_time,
            "reloads": proven.probe.reloads,
            "listed": dict(proven.listed),
        }
        self._write("proof", fields if proven.canary is None else {**fields, "canary": str(proven.canary)})

    def _prove_readable(self) -> None:
        for server in self._world.servers:
            self._effects.prove(server.name)
        check_one_key(self._world, self._plan.new)
        if not self._observer.unchanged():
            return
        proofs = self._observer.proofs
        self._observer.proofs = replace(proofs, readable=proofs.readable + 1)
        self._write("proof", {"of": "readable", "times": proofs.readable + 1})

    def _switch(self) -> None:
        if self._readings.configs.changes("secrets"):
            writer = self._readings.writer("secrets")
            prove_writes(self._world, self._readings.configs.promoted, writer, tag=self._plan.rotation)
        else:
            message = "Secrets do not change, so no canary is written: the loaded files are the proof"
            self._reporter.event(Event("step", message))
        revision = self._world.etcds[0].etcd.status()[0].revision
        self._changed_at = self._world.clock.monotonic()
        self._observer.proofs = replace(self._observer.proofs, switched=revision)
        self._write("proof", {"of": "switched", "revision": revision})

    def _rewrite(self) -> None:
        if self._background.way is Way.FORWARD and not self._leaving.late:
            self._enter(State.REWRITING)
        self._leaving.keep_exposed()
        rewrite(self._job, served=self._served, migrated=self._background.migrated)
        self._observer.proofs = replace(self._observer.proofs, left=0)

    def _note_state(self, seen: Observation) -> None:
        for view in seen.servers:
            fields = {
                "server": view.name,
                "disk": None if view.disk is None else view.disk.name,
                "loaded": None if view.loaded is None else view.loaded.name,
                "loadedBy": view.loaded_by,
                "ready": view.ready,
            }
            self._reporter.event(Event("server", view.name, fields))
        self._enter(machine.state_of(seen))
        without = self._somebody_let_go(seen) or any(view.disk is Stage.RETIRED for view in seen.servers)
        self.between_proofs = bool(seen.late) or (seen.proofs.gone is None and without)
        if self._pause_after is None or self._state.position < self._pause_after.position or seen.late:
            return
        if self._state in {State.RETIRED, State.ABORTED} or (self._state is State.VERIFIED and not seen.leaves):
            return
        raise StoppedError(f"paused in state {self._state.value}, as asked", hint=self.where_it_stands())

    def where_it_stands(self) -> tuple[str, ...]:
        """Whether this is a place to stay, and the commands that lead on and back."""
        if self._nobody_up:
            how = "no API server was up, and one is being brought up: go on soon"
        elif self.between_proofs:
            how = "a server has let go of a key, and the last proof that nothing is under it is to come: go on soon"
        else:
            how = "every server reads every value: this state is safe for as long as you like"
        if self._background.way is Way.BACK:
            return (how, "go on with the way back: keyctl rotate --resume")
        return (how, "go on with: keyctl rotate --resume", "or go back: keyctl rotate --abort")

    def _enter(self, state: State) -> None:
        if state is not self._state:
            self._state = state
            self._write("state", {"state": state.value})
            self._reporter.event(Event("state", state.value, {"state": state.value}))

    def _breathe(self) -> None:
        try:
            self._pause()
        except WindowClosedError as closed:
            if can_rest_in(self._step) and not (self.between_proofs or self._nobody_up):
                self._write(CLOSED, {})
                raise closed.standing(self.where_it_stands()) from closed
        if self._holds_lease:
            try:
                self._world.lease.check()
            except StoppedError as lost:
                how = self.where_it_stands()[0]
                raise StoppedError(str(lost), cause=lost.cause, hint=(how, *lost.hints), rule=lost.rule) from lost

    def _write(self, kind: str, fields: Mapping[str, object]) -> None:
        self._journal.append(kind, self._world.clock.now(), {"rotation": self._plan.rotation, **fields})


def _step_fields(step: steps.Step) -> dict[str, object]:
    fields: dict[str, object] = {"step": _STEP_NAMES[type(step)]}
    match step:
        case steps.WriteFile(server, stage) | steps.Restart(server, stage):
            fields |= {"server": server, "stage": stage.name}
        case steps.EditManifest(server) | steps.RestoreManifest(server):
            fields["server"] = server
    return fields


def _step_text(step: steps.Step) -> str:
    match step:
        case steps.WriteFile(server, stage):
            return f"{server}: writing the file {_FILES[stage]}"
        case steps.EditManifest(server):
            return f"{server}: giving it the encryption flag"
        case steps.RestoreManifest(server):
            return f"{server}: giving it its manifest without the encryption flag back"
        case steps.Restart(server, _):
            return f"{server}: restarting"
    return "proving by a canary through each server which key it writes with"


_FILES = {
    Stage.BASE: "without the new key",
    Stage.ADDED: "with the new key as a read key",
    Stage.PROMOTED: "with the new key first, and the old ones",
    Stage.RETIRED: "without the old keys",
}

_STEP_NAMES: dict[type, str] = {
    steps.WriteFile: "write-file",
    steps.EditManifest: "edit-manifest",
    steps.RestoreManifest: "restore-manifest",
    steps.Restart: "restart",
    steps.Switch: "switch",
}
