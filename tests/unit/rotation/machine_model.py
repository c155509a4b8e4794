"""A tiny cluster for the machine to walk: files, processes, values by the key they are under, and a run that forgets.

After every act it checks what must always hold: no two servers are more than one
stage apart, and every server that is up reads every value (R1), but those that
turn up late.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from keyctl.rotation import steps
from keyctl.rotation.observation import Observation, Proofs, ServerView
from keyctl.rotation.plan import Stage, Way
from keyctl.rotation.steps import stage_after

NEW, OLD = "new", "old"
STAYS = {Way.FORWARD: NEW, Way.BACK: OLD}
LEAVES = {Way.FORWARD: OLD, Way.BACK: NEW}
GOAL = {Way.FORWARD: Stage.RETIRED, Way.BACK: Stage.BASE}
_WRITING = {Way.FORWARD: {Stage.PROMOTED, Stage.RETIRED}, Way.BACK: {Stage.ADDED, Stage.BASE}}
READS = {Stage.BASE: {OLD}, Stage.ADDED: {OLD, NEW}, Stage.PROMOTED: {OLD, NEW}, Stage.RETIRED: {NEW}}


@dataclass
class ModelServer:
    """One server. `loaded` None: it is down. `process` counts its starts. `silent`: it does not say what it loaded."""

    name: str
    reloads: bool
    had_flag: bool
    floor: Stage
    disk: Stage = Stage.BASE
    loaded: Stage | None = Stage.BASE
    flag: bool = False
    process: int = 0
    silent: bool = False

    @property
    def at_start(self) -> Stage:
        """What it loads when it starts now."""
        return self.disk if self.flag else Stage.BASE

    def boot(self, values: set[str]) -> None:
        """Start; it is ready only when it reads everything that is stored (R10)."""
        self.loaded = self.at_start if values <= READS[self.at_start] else None
        self.process += 1


@dataclass
class Memory:
    """What one process knows, and loses."""

    proofs: Proofs = field(default_factory=Proofs)
    proven: dict[str, tuple[int, Stage | None]] = field(default_factory=dict)
    known: dict[str, tuple[int, Stage | None]] = field(default_factory=dict)
    seen_ready: set[str] = field(default_factory=set)
    moving: set[str] = field(default_factory=set)
    marks: tuple[tuple[int, Stage | None], ...] = ()
    late: int = 0


class ModelWorld:
    """See the module. `retires`: old keys leave at the end of the way forward."""

    def __init__(self, servers: Sequence[ModelServer], *, retires: bool) -> None:
        self.servers = tuple(servers)
        self.way = Way.FORWARD
        self.retires, self.resecured = retires, False
        self.values = {OLD}
        self.stray = False
        self.memory = Memory()
        for server in self.servers:
            server.flag, server.disk, server.loaded = server.had_flag, server.floor, server.floor

    # -- what the run does

    def look(self) -> Observation:
        memory = self.memory
        marks = tuple((server.process, server.loaded) for server in self.servers)
        if marks != memory.marks:
            kept = len(memory.marks) == len(marks) and all(
                new == old
                or (s.name in memory.moving and s.disk in _WRITING[self.way] and self._told(s) in _WRITING[self.way])
                for s, new, old in zip(self.servers, marks, memory.marks, strict=True)
            )
            memory.proofs = memory.proofs if kept else Proofs()
            memory.marks = marks
        memory.seen_ready |= {server.name for server in self.servers if server.loaded is not None}
        return Observation(
            tuple(self._view(server) for server in self.servers),
            proofs=memory.proofs,
            way=self.way,
            leaves=self._leaves(),
            resecured=self.resecured or self.way is Way.BACK,
            late=memory.late,
        )

    def _told(self, server: ModelServer) -> Stage | None:
        """What is known of what it has loaded: of a silent one only what this process has seen it load."""
        known = self.memory.known.get(server.name) == (server.process, server.loaded)
        return server.loaded if known or not server.silent else None

    def _saw_loading(self, server: ModelServer) -> None:
        self.memory.known[server.name] = (server.process, server.loaded)

    def _view(self, server: ModelServer) -> ServerView:
        mark = (server.process, server.loaded)
        loaded = self._told(server)
        return ServerView(
            server.name,
            server.reloads,
            server.loaded is not None,
            server.disk,
            loaded,
            server.floor,
            server.had_flag,
            not server.flag,
            proven=loaded if self.memory.proven.get(server.name) == mark else None,
            seen_ready=server.name in self.memory.seen_ready,
            unsure=server.loaded is not None and loaded is None,
        )

    def _leaves(self) -> bool:
        if self.way is Way.FORWARD:
            return self.retires
        return any(server.floor is Stage.BASE for server in self.servers)

    def server(self, name: str) -> ModelServer:
        return next(server for server in self.servers if server.name == name)

    def act(self, step: steps.Step) -> None:
        """Take `step`, or learn why it cannot be: a value that turned up under the leaving key."""
        stage = stage_after(step)
        if stage is not None and not self.values <= READS[stage]:
            self._landed_late(stage)
            return
        match step:
            case steps.WriteFile(name, stage):
                self.memory.moving.add(name)
                self.server(name).disk = stage
            case steps.EditManifest(name):
                self.server(name).flag = True
            case steps.RestoreManifest(name):
                self.memory.moving.add(name)
                self.server(name).flag = False
            case steps.Restart(name, stage):
                assert self.server(name).at_start is stage
                self.server(name).boot(self.values)
                self._saw_loading(self.server(name))
            case steps.AwaitLoaded(names):
                self._await([self.server(name) for name in names])
            case steps.ProveServer(name):
                self.memory.proven[name] = (self.server(name).process, self.server(name).loaded)
            case steps.TurnedUp():
                self.new_process()
            case _:
                self._prove(step)
        self.check()

    def _prove(self, step: steps.Step) -> None:
        proofs = self.memory.proofs
        match step:
            case steps.ProveReadable():
                self.memory.proofs = replace(proofs, readable=proofs.readable + 1)
            case steps.Switch():
                self.memory.proofs = replace(proofs, switched=1)
            case steps.Rewrite():
                self.values, self.stray = {STAYS[self.way]}, False
                self.memory.proofs = replace(proofs, left=0)
            case steps.Settle():
                self.memory.proofs = replace(proofs, settled=True)
            case steps.ProveVerified():
                clean = self.values == {STAYS[self.way]}
                self.memory.proofs = replace(proofs, verified=2) if clean else replace(proofs, left=1, settled=False)
            case steps.ClearHistory():
                self.memory.proofs = replace(proofs, history=True)
            case steps.Resecure():
                self.resecured = True
            case steps.SettleAgain():
                self.memory.proofs = replace(proofs, settled_again=True)
            case steps.ProveGone() if LEAVES[self.way] in self.values:
                self.memory.proofs, self.memory.late = Proofs(), 1
            case steps.ProveGone():
                self.memory.proofs = replace(proofs, gone=3)

    def _await(self, servers: Sequence[ModelServer]) -> None:
        for server in servers:
            if server.loaded is None or (self._told(server) is None and server.loaded is server.at_start):
                # Its host starts it again; or somebody does, who was told that nothing else shows what it has.
                server.boot(self.values)
            else:
                server.loaded = server.at_start
            self._saw_loading(server)
        if any(server.loaded is None for server in servers):
            self.new_process()

    def _landed_late(self, stage: Stage) -> None:
        assert stage is GOAL[self.way], "a file that does not read everything"
        if self._somebody_let_go():
            self.memory.late = 1
        self.memory.proofs = Proofs()

    def _somebody_let_go(self) -> bool:
        flagless = self.way is Way.BACK and any(not server.flag and server.had_flag is False for server in self.servers)
        return flagless or any(GOAL[self.way] in (server.disk, server.loaded) for server in self.servers)

    # -- what happens to it

    def kubelet(self) -> bool:
        """Start again what is down and nobody restarts but its host; whether anything came up."""
        down = [server for server in self.servers if server.reloads and server.loaded is None]
        for server in down:
            server.boot(self.values)
        return any(server.loaded is not None for server in down)

    def new_process(self) -> None:
        """The run ends, and another begins: it counts first what is under the leaving key."""
        self.memory = Memory()
        found = LEAVES[self.way] in self.values and self._somebody_let_go() and self._leaves()
        self.memory.late = 1 if found else 0

    def turn_round(self) -> None:
        """`--abort`."""
        self.way = Way.BACK
        self.new_process()

    def poll(self) -> None:
        """Those that reload do."""
        for server in self.servers:
            if server.reloads and server.loaded is not None:
                server.loaded = server.disk
        self.check()

    def land(self) -> None:
        """A request that outlasted the settle time stores a value under the key that leaves."""
        self.stray = True
        self.values.add(LEAVES[self.way])

    def check(self) -> None:
        stages = {stage for s in self.servers for stage in (s.disk, s.loaded) if stage is not None}
        assert max(stages) - min(stages) <= 1, "R2"
        up = [server.loaded for server in self.servers if server.loaded is not None]
        self.values |= {NEW if loaded >= Stage.PROMOTED else OLD for loaded in up}
        assert self.stray or all(self.values <= READS[loaded] for loaded in up), "R1"
