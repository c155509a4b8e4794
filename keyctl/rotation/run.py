"""Carry a rotation through: observe, decide, journal the intent, act, journal the outcome, observe again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.model import EncryptionConfig
from keyctl.errors import RefusedError, StoppedError, UnreachableError
from keyctl.keys.key import Key
from keyctl.kube.interface import ApiServer
from keyctl.rotation import machine
from keyctl.rotation.effects import ServerEffects
from keyctl.rotation.journal import Journal
from keyctl.rotation.observation import Observation
from keyctl.rotation.observe import Observer
from keyctl.rotation.plan import Plan, Stage, State
from keyctl.rotation.preflight import check_binding, check_readable
from keyctl.rotation.rewriting import ROUND_LIMIT, Rewriter
from keyctl.rotation.scan import Scan, scan, wanted
from keyctl.rotation.switch import prove_writes
from keyctl.rotation.world import Event, Reporter, World

_POLL = 1.0
# Endpoints and Leases follow a restart within a few of the servers' own 10 s rounds.
_CENSUS_WAIT = 60.0


class Run:
    """One process's work on one plan, from wherever the cluster stands to `verified`.

    `pause` is called between acts and while waiting; it raises `StoppedError`
    when the user wants to stop. `pause_after` stops once that state is proven.
    """

    def __init__(
        self,
        world: World,
        plan: Plan,
        key: Key,
        *,
        served: dict[str, str],
        journal: Journal,
        reporter: Reporter,
        pause: Callable[[], None],
        pause_after: State | None = None,
    ) -> None:
        self._world = world
        self._plan = plan
        self._served = served
        self._journal = journal
        self._reporter = reporter
        self._pause = pause
        self._pause_after = pause_after
        self._observer = Observer(world, plan)
        self._effects = ServerEffects(world, plan, key, served=served, reporter=reporter, pause=self._breathe)
        self._state = State.GENERATED
        self._switched_at = 0.0
        self._holds_lease = False
        self.last_scan: Scan | None = None

    def go(self) -> Scan:
        """Walk to `verified`, with the Lease held; returns the scan that proved it.

        Raises `RefusedError`, `StoppedError` or `UnreachableError`; the rotation can be resumed after each of them.
        """
        self._holds_lease = True
        self._scan_all(self._widest_config())
        while True:
            seen = self._look()
            self._note_state(seen)
            step = machine.next_step(seen)
            if isinstance(step, machine.Blocked):
                raise RefusedError(step.message, hint=step.hint, rule=step.rule)
            if isinstance(step, machine.Done):
                if self.last_scan is None:
                    raise RuntimeError("verified without a scan")
                return self.last_scan
            self._breathe()
            self._act(step)

    def restart_if_ours(self, name: str) -> bool:
        """Restart `name` if its file is one this plan wrote; for when no server is up to hold the Lease through."""
        server = self._world.server(name)
        file = server.host.read(server.config_path)
        stage = self._plan.server(name).stage_of(None if file is None else file.sha256)
        if stage is None or stage is Stage.BASE:
            return False
        self._journaled(machine.Restart(name, stage), lambda: self._effects.restart(name, stage))
        return True

    def check_cluster(self, api: ApiServer) -> None:
        """This is the cluster that the plan was made for, or `UnreachableError`."""
        if check_binding(self._world, self._widest_config(), api) != self._plan.cluster_uid:
            raise UnreachableError(
                "this is not the cluster that the rotation began on",
                cause="the uid of namespace kube-system is another one",
                hint="use the cluster file that the rotation began with",
            )

    def _act(self, step: machine.Step) -> None:
        match step:
            case machine.WriteFile(server, stage):
                self._journaled(step, lambda: self._effects.write_file(server, stage))
            case machine.EditManifest(server):
                self._journaled(step, lambda: self._effects.edit_manifest(server))
            case machine.Restart(server, stage):
                self._journaled(step, lambda: self._effects.restart(server, stage))
            case machine.AwaitLoaded(servers, stage):
                self._effects.await_loaded(servers, stage)
            case machine.ProveServer(server):
                self._observer.note_server(server, self._effects.prove(server))
            case machine.ProveReadable():
                self._prove_readable()
            case machine.Switch():
                self._journaled(step, self._switch)
            case machine.Rewrite():
                self._rewrite()
            case machine.Settle():
                self._settle()
            case machine.ProveVerified():
                self._prove_verified()

    def _journaled(self, step: machine.Step, effect: Callable[[], None]) -> None:
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
        return seen

    def _prove_readable(self) -> None:
        for server in self._world.servers:
            self._effects.prove(server.name)
        if not self._observer.unchanged():
            return
        proofs = self._observer.proofs
        self._observer.proofs = replace(proofs, readable=proofs.readable + 1)
        self._write("proof", {"of": "readable", "times": proofs.readable + 1})

    def _switch(self) -> None:
        config = self._placed_config()
        if "secrets" in wanted(config, self._plan.new, ["secrets"]):
            prove_writes(self._world, config, self._plan.new, tag=self._plan.rotation)
        else:
            message = "Secrets do not change, so no canary is written: the loaded files are the proof"
            self._reporter.event(Event("step", message))
        revision = self._world.etcds[0].etcd.status()[0].revision
        self._switched_at = self._world.clock.monotonic()
        self._observer.proofs = replace(self._observer.proofs, switched=revision)
        self._write("proof", {"of": "switched", "revision": revision})

    def _rewrite(self) -> None:
        self._enter(State.REWRITING)
        rewriter = Rewriter(
            tuple(server.api for server in self._world.servers),
            served=self._served,
            count=lambda: self._scan_all(self._widest_config()),
            around=self._batch,
            clock=self._world.clock,
            reporter=self._reporter,
        )
        rewriter.run()
        self._observer.proofs = replace(self._observer.proofs, left=0)

    def _batch(self, size: int, send: Callable[[], Counter[str]]) -> Counter[str]:
        self._breathe()
        self._write("intent", {"step": "rewrite", "values": size})
        counts = send()
        self._write("outcome", {"step": "rewrite", "values": size, **counts})
        return counts

    def _settle(self) -> None:
        """Wait for writes that were being handled at t0: until t0 + settle they may still land under an old key."""
        clock = self._world.clock
        while (left := self._switched_at + self._world.settle - clock.monotonic()) > 0:
            message = f"settling: {left:.0f} s until no older request can still write"
            self._reporter.event(Event("wait", message, {"left": round(left)}))
            self._breathe()
            clock.sleep(min(left, _POLL))
        self._observer.proofs = replace(self._observer.proofs, settled=True)

    def _prove_verified(self) -> None:
        config = self._placed_config()
        found = self._scan_all(config)
        left = found.elsewhere(config, self._plan.new)
        if left or not self._observer.unchanged():
            # Something landed late: back to rewriting, and settle once more from now.
            self._switched_at = self._world.clock.monotonic()
            self._observer.proofs = replace(self._observer.proofs, left=left or None, settled=False)
            return
        if not found.under(config, self._plan.new) and self._plan.old:
            raise StoppedError(
                f"etcd holds no value under {self._plan.new}: nothing proves that it is in use",
                hint="create an object of the encrypted resource, then: keyctl rotate --resume",
            )
        self._observer.proofs = replace(self._observer.proofs, verified=found.revision)
        self._write("proof", {"of": "verified", "revision": found.revision, "values": found.values})

    def _scan_all(self, config: EncryptionConfig | None) -> Scan:
        # NOTE: values that no API serves (R18) are found by looking: their resources are those seen last time.
        groups = self.last_scan.groups if self.last_scan else ()
        seen = (group.resource for group in groups if not group.infrastructure)
        resources = {*self._served, *self._plan.resources, *seen}
        want = {} if config is None else wanted(config, self._plan.new, resources)
        found = scan(
            self._world.everything(),
            prefix=self._world.prefix,
            config=config,
            want=want,
            work_limit=ROUND_LIMIT,
        )
        check_readable(found)
        self.last_scan = found
        return found

    def _widest_config(self) -> EncryptionConfig | None:
        """The configuration of the file that is furthest along: it reads whatever any server may have written."""
        furthest: tuple[Stage, bytes] | None = None
        for server in self._world.servers:
            file = server.host.read(server.config_path)
            stage = self._plan.server(server.name).stage_of(None if file is None else file.sha256)
            if file is not None and stage is not None and (furthest is None or stage > furthest[0]):
                furthest = (stage, file.content)
        if furthest is not None:
            return decode(furthest[1], name="encryption configuration").config
        if any(server.hashes[Stage.BASE] is not None for server in self._plan.servers):
            raise RefusedError(
                "no API server's encryption configuration is what this rotation left there",
                cause="somebody else changed the files of all of them",
                hint="find out who manages them; put the expected files back, then: keyctl rotate --resume",
                rule="R8",
            )
        return None

    def _placed_config(self) -> EncryptionConfig:
        """`_widest_config` once every server has a file."""
        config = self._widest_config()
        if config is None:
            raise RuntimeError("no server has a file")
        return config

    def _note_state(self, seen: Observation) -> None:
        for view in seen.servers:
            fields = {
                "server": view.name,
                "disk": None if view.disk is None else view.disk.name,
                "loaded": None if view.loaded is None else view.loaded.name,
                "ready": view.ready,
            }
            self._reporter.event(Event("server", view.name, fields))
        self._enter(machine.state_of(seen))
        if self._pause_after is not None and self._state.position >= self._pause_after.position:
            if self._state is State.VERIFIED:
                return
            raise StoppedError(
                f"paused in state {self._state.value}, as asked",
                hint=("this state is safe for as long as you like", "go on with: keyctl rotate --resume"),
            )

    def _enter(self, state: State) -> None:
        if state is not self._state:
            self._state = state
            self._write("state", {"state": state.value})
            self._reporter.event(Event("state", state.value, {"state": state.value}))

    def _breathe(self) -> None:
        self._pause()
        if self._holds_lease:
            self._world.lease.check()

    def _write(self, kind: str, fields: Mapping[str, object]) -> None:
        self._journal.append(kind, self._world.clock.now(), {"rotation": self._plan.rotation, **fields})


def _step_fields(step: machine.Step) -> dict[str, object]:
    fields: dict[str, object] = {"step": _STEP_NAMES[type(step)]}
    match step:
        case machine.WriteFile(server, stage) | machine.Restart(server, stage):
            fields |= {"server": server, "stage": stage.name}
        case machine.EditManifest(server):
            fields["server"] = server
    return fields


def _step_text(step: machine.Step) -> str:
    match step:
        case machine.WriteFile(server, stage):
            what = "the new key as a read key" if stage is Stage.ADDED else "the new key first"
            return f"{server}: writing the file with {what}"
        case machine.EditManifest(server):
            return f"{server}: giving it the encryption flag"
        case machine.Restart(server, _):
            return f"{server}: restarting"
    return "proving that every server writes with the new key"


_STEP_NAMES: dict[type, str] = {
    machine.WriteFile: "write-file",
    machine.EditManifest: "edit-manifest",
    machine.Restart: "restart",
    machine.Switch: "switch",
}
