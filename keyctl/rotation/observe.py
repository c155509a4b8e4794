"""Look at every server and say where it stands in the plan.

Keeps what this run has proven, and forgets it as soon as the processes it was
proven for are other ones, or have loaded another file.
"""

from __future__ import annotations

from collections.abc import Sequence

from keyctl.errors import UnreachableError
from keyctl.hosts.manifests import read_flags
from keyctl.kube.interface import ServerProbe
from keyctl.rotation.membership import disagreement
from keyctl.rotation.observation import Observation, Proofs, ServerView
from keyctl.rotation.plan import Plan, ServerPlan
from keyctl.rotation.world import Server, World

# A process and what it has loaded: start time, serial of its serving certificate, hash of the file.
_Mark = tuple[float, int, str | None]


class Observer:
    """Makes an `Observation` whenever asked, and holds the proofs between two of them."""

    def __init__(self, world: World, plan: Plan) -> None:
        self._world = world
        self._plan = plan
        self._proven: dict[str, _Mark] = {}
        self._marks: tuple[_Mark, ...] = ()
        self._seen_ready: set[str] = set()
        self.proofs = Proofs()

    def look(self) -> Observation:
        """Ask every server and read every file, now."""
        probes = self._probe()
        marks = tuple(map(_mark, probes))
        if marks != self._marks:
            # A proof is about processes and what they have loaded; whatever has changed starts from none.
            self._marks = marks
            self.proofs = Proofs()
        views = tuple(self._view(server, probe) for server, probe in zip(self._world.servers, probes, strict=True))
        return Observation(views, census_problem=self._census_problem(probes), proofs=self.proofs)

    def note_server(self, name: str, probe: ServerProbe) -> None:
        """Record that the process behind `probe`, with what it has loaded, was proven."""
        self._proven[name] = _mark(probe)

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

    def _census_problem(self, probes: Sequence[ServerProbe]) -> str:
        if not all(probe.ready for probe in probes):
            return ""
        return disagreement(self._world.servers[0].api.census(), self._world.servers, probes)

    def _view(self, server: Server, probe: ServerProbe) -> ServerView:
        plan = self._plan.server(server.name)
        file = server.host.read(server.config_path)
        loaded = plan.stage_of(probe.loaded_hash) if probe.ready else None
        if probe.ready:
            self._seen_ready.add(server.name)
        return ServerView(
            name=server.name,
            reloads=server.reloads,
            ready=probe.ready,
            disk=plan.stage_of(None if file is None else file.sha256),
            loaded=loaded,
            flag_missing=_flag_missing(server, plan),
            proven=loaded if self._proven.get(server.name) == _mark(probe) else None,
            seen_ready=server.name in self._seen_ready,
            problem=probe.problem,
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
    return (probe.start_time, probe.certificate_serial, probe.loaded_hash)


def _flag_missing(server: Server, plan: ServerPlan) -> bool:
    if not plan.flag_missing or server.manifest_path is None:
        return False
    manifest = server.host.read(server.manifest_path)
    return manifest is None or not read_flags(manifest.content, name=server.manifest_path).encryption_provider_config
