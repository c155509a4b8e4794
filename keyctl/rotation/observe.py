"""Look at every server and say where it stands in the plan.

Keeps what this run has proven, and forgets it as soon as the processes it was
proven for are other ones, or have loaded another file: unless this run itself
brought them there, from one file to another that writes with the same key.
"""

from __future__ import annotations

from collections.abc import Sequence

from keyctl.errors import UnreachableError
from keyctl.hosts.manifests import read_flags
from keyctl.keys.key import Provider
from keyctl.kube.interface import ServerProbe
from keyctl.rotation.loaded import Loads
from keyctl.rotation.membership import Disagreement, Processes, disagreement
from keyctl.rotation.observation import Observation, Proofs, ServerView
from keyctl.rotation.plan import Plan, ServerPlan, Stage, Way
from keyctl.rotation.server_facts import on_disk
from keyctl.rotation.world import Server, World

# A process and what it has loaded: start time, serial of its serving certificate, hash of the file, or, where it does
# not say that, how often it has reloaded.
_Mark = tuple[float, int, str | int]
_UNSTABLE = "find out in its log why it does not stay up"


class Observer:
    """Makes an `Observation` whenever asked, and holds the proofs between two of them. `way` is where the run goes.

    `loads` is what is known of what servers have loaded that do not say it. `promoted`: the new key may have written.
    `withdraws`: see `Observation`.
    """

    def __init__(
        self, world: World, plan: Plan, *, way: Way, loads: Loads | None = None, promoted: bool = True
    ) -> None:
        self._world = world
        self._plan = plan
        self._way = way
        self.withdraws = way is Way.BACK and plan.new.provider is Provider.KMS and not promoted
        self._loads = loads or Loads()
        self._processes = Processes()
        self._proven: dict[str, tuple[_Mark, Stage | None]] = {}
        self._marks: tuple[_Mark, ...] = ()
        self._moving: set[str] = set()
        self._seen_ready: set[str] = set()
        self.proofs = Proofs()

    def look(self) -> Observation:
        """Ask every server and read every file, now."""
        probes = self._probe()
        marks = tuple(map(_mark, probes))
        views = tuple(self._view(server, probe) for server, probe in zip(self._world.servers, probes, strict=True))
        if marks != self._marks:
            # A proof is about processes and what they have loaded; whatever has changed starts from none.
            self.proofs = self.proofs if self._only_ours_moved(marks, views) else Proofs()
            # NOTE: each move of ours explains one change; the next one is somebody else's doing.
            known = zip(views, marks, self._marks, strict=False)
            self._moving -= {view.name for view, new, old in known if new != old}
            self._marks = marks
        problem = self._census_problem(probes)
        return Observation(
            views,
            census_problem=problem.message if problem else "",
            census_hints=problem.hints if problem else (),
            proofs=self.proofs,
            way=self._way,
            leaves=self._leaves(),
            withdraws=self.withdraws,
        )

    def moving(self, name: str, stage: Stage) -> None:
        """This run is about to bring `name` to the file of `stage`, which may write with the key that stays."""
        self._moving.add(name)
        proven = self._proven.get(name)
        # NOTE: it may have that stage loaded still, with a file of another one on its disk: no proof of this file.
        if proven is not None and proven[1] is stage:
            del self._proven[name]

    def _only_ours_moved(self, marks: tuple[_Mark, ...], views: tuple[ServerView, ...]) -> bool:
        """Whether every server that is not what it was is one that we moved, and writes with the key that stays."""
        if len(marks) != len(self._marks):
            return False
        writing = {self._way.last, self._way.goal}
        return all(
            new == old or (view.name in self._moving and view.disk in writing and view.loaded in writing)
            for view, new, old in zip(views, marks, self._marks, strict=True)
        )

    def _leaves(self) -> bool:
        if self._way is Way.FORWARD:
            return self._plan.retires
        return any(server.floor is Stage.BASE for server in self._plan.servers)

    def note_server(self, name: str, probe: ServerProbe, stage: Stage | None) -> None:
        """Record that the process behind `probe` was proven, with the file of `stage` loaded."""
        self._proven[name] = (_mark(probe), stage)

    def unchanged(self) -> bool:
        """Whether the census agrees and every server is the ready process that was seen last, with the same file."""
        probes = self._probe()
        ready = all(probe.ready for probe in probes)
        return ready and tuple(map(_mark, probes)) == self._marks and not self._census_problem(probes)

    def _probe(self) -> tuple[ServerProbe, ...]:
        probes = tuple(server.api.probe() for server in self._world.servers)
        for probe in probes:
            require_access(probe)
        return probes

    def _census_problem(self, probes: Sequence[ServerProbe]) -> Disagreement | None:
        several = self._processes.several(probes)
        if several is not None or not all(probe.ready for probe in probes):
            return several
        asked = self._world.servers[0]
        try:
            census = asked.api.census()
        except UnreachableError:
            # NOTE: a kubelet restarts a server when it gets to it, and that may be between two requests of ours.
            if asked.api.probe().ready:
                raise
            return Disagreement(f"{asked.name} went away while it was asked who the API servers are", (_UNSTABLE,))
        return disagreement(census, self._world.servers, probes)

    def _view(self, server: Server, probe: ServerProbe) -> ServerView:
        plan = self._plan.server(server.name)
        file = server.host.read(server.config_path)
        found = self._loads.seen(probe, lambda: on_disk(server)) if probe.ready else None
        loaded = plan.stage_of(found.hash) if found and found.by else None
        if probe.ready:
            self._seen_ready.add(server.name)
        proven = self._proven.get(server.name)
        return ServerView(
            name=server.name,
            reloads=server.reloads,
            ready=probe.ready,
            disk=plan.stage_of(None if file is None else file.sha256),
            loaded=loaded,
            floor=plan.floor,
            had_flag=not plan.flag_missing,
            flag_missing=_flag_missing(server, plan),
            proven=loaded if proven == (_mark(probe), loaded) else None,
            seen_ready=server.name in self._seen_ready,
            problem=probe.problem,
            unsure=found is not None and found.by is None,
            loaded_by=found.by if found else None,
        )


def require_access(probe: ServerProbe) -> None:
    """Raise `UnreachableError` for a server that is up but refuses us: it must not be taken for one that is down."""
    if probe.refuses_us:
        raise UnreachableError(
            f"API server {probe.name} refuses our credentials",
            cause=probe.problem,
            hint="check the kubeconfig of the cluster file: kubectl auth whoami",
        )


def _mark(probe: ServerProbe) -> _Mark:
    return (probe.start_time, probe.certificate_serial, probe.loaded_hash or probe.reloads)


def _flag_missing(server: Server, plan: ServerPlan) -> bool:
    if not plan.flag_missing or server.manifest_path is None:
        return False
    manifest = server.host.read(server.manifest_path)
    return manifest is None or not read_flags(manifest.content, name=server.manifest_path).encryption_provider_config
