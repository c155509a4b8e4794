"""Look at every server and say where it stands in the plan.

Keeps what this run has proven, and forgets it as soon as the processes it was
proven for are other ones.
"""

from __future__ import annotations

from keyctl.hosts.manifests import read_flags
from keyctl.kube.interface import ServerProbe
from keyctl.rotation.observation import Observation, Proofs, ServerView
from keyctl.rotation.plan import Plan, ServerPlan, Stage
from keyctl.rotation.world import Server, World

Process = tuple[float, int]


class Observer:
    """Makes an `Observation` whenever asked, and holds the proofs between two of them."""

    def __init__(self, world: World, plan: Plan) -> None:
        self._world = world
        self._plan = plan
        self._proven: dict[str, tuple[Process, Stage]] = {}
        self._processes: tuple[Process, ...] = ()
        self._seen_ready: set[str] = set()
        self.proofs = Proofs()

    def look(self) -> Observation:
        """Ask every server and read every file, now."""
        views = tuple(self._view(server) for server in self._world.servers)
        processes = tuple(view.process for view in views)
        if processes != self._processes:
            # A proof is about processes; another process starts from none.
            self._processes = processes
            self.proofs = Proofs()
        return Observation(views, proofs=self.proofs)

    def note_server(self, name: str, process: Process, stage: Stage) -> None:
        """Record that this process of `name` was proven at `stage`."""
        self._proven[name] = (process, stage)

    def unchanged(self) -> bool:
        """Whether every server is still the ready process that was seen last."""
        probes = [server.api.probe() for server in self._world.servers]
        return all(probe.ready for probe in probes) and tuple(map(_process, probes)) == self._processes

    def _view(self, server: Server) -> ServerView:
        plan = self._plan.server(server.name)
        probe = server.api.probe()
        process = _process(probe)
        file = server.host.read(server.config_path)
        proven = self._proven.get(server.name)
        if probe.ready:
            self._seen_ready.add(server.name)
        return ServerView(
            name=server.name,
            reloads=server.reloads,
            ready=probe.ready,
            disk=plan.stage_of(None if file is None else file.sha256),
            loaded=plan.stage_of(probe.loaded_hash) if probe.ready else None,
            flag_missing=_flag_missing(server, plan),
            proven=proven[1] if proven is not None and probe.ready and proven[0] == process else None,
            process=process,
            seen_ready=server.name in self._seen_ready,
            problem=probe.problem,
        )


def _process(probe: ServerProbe) -> Process:
    return (probe.start_time, probe.certificate_serial)


def _flag_missing(server: Server, plan: ServerPlan) -> bool:
    if not plan.flag_missing or server.manifest_path is None:
        return False
    manifest = server.host.read(server.manifest_path)
    return manifest is None or not read_flags(manifest.content, name=server.manifest_path).encryption_provider_config
