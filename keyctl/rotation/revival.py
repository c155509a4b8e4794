"""With no API server up, get one up again, so that a run can hold its Lease and go on.

What keeps a server down may be a value that landed under a key which its file has
let go (R10): then the file gets that key back first, whichever way the run goes.
Or a plugin that is not there and has never written: on the way back it goes first.
"""

from __future__ import annotations

from collections.abc import Callable

from keyctl.encryption_config import effective
from keyctl.errors import RefusedError, UnreachableError
from keyctl.kube.interface import ApiServer
from keyctl.rotation.leaving import Job
from keyctl.rotation.observe import Observer
from keyctl.rotation.plan import Stage, Way
from keyctl.rotation.steps import EditManifest, Restart, Step, WriteFile
from keyctl.rotation.world import Server
from keyctl.stored.decrypt import Opened, open_value

Journaled = Callable[[Step, Callable[[], None]], None]


class Revival:
    """Acts for one plan while nobody answers. `journaled` runs one effect between its two records."""

    def __init__(self, job: Job, journaled: Journaled) -> None:
        self._job = job
        self._journaled = journaled
        self._given: list[str] = []

    def check_etcd(self) -> None:
        """Raw etcd holds the cluster that the plan was made for; without an API only etcd can tell."""
        world = self._job.world
        key = f"{world.prefix}/namespaces/kube-system".encode()
        stored = world.etcd_of("namespaces").get(key)
        readers = effective.readers(self._job.readings.configs.promoted, "namespaces")
        opened = None if stored is None else open_value(readers, key, stored[0])
        if not isinstance(opened, Opened) or opened.object.uid != self._job.plan.cluster_uid:
            raise UnreachableError(
                "this is not the etcd of the cluster that the rotation began on",
                cause="the uid of namespace kube-system is another one",
                hint="use the cluster file that the rotation began with",
                rule="preflight",
            )

    def first_server(self) -> tuple[ApiServer, int]:
        """Bring one server up: its API, and how many values kept servers down that had let go of a leaving key.

        Raises `RefusedError` (R11) when none has a file of this rotation.
        """
        if self._job.observer.withdraws:
            for server in self._job.world.servers:
                self._take_plugin_away(server)
        late = max([self._give_back(server) for server in self._job.world.servers])
        first = next(iter(self._ours()), None)
        if first is None:
            raise RefusedError(
                "no API server is ready", hint="bring one back, then: keyctl rotate --resume", rule="R11"
            )
        if not first.reloads:
            self._restart(first)
        elif first.name not in self._given:
            self._given.append(first.name)
        # NOTE: the way back does not wait for a server that it finds down; these load by themselves what they got.
        self._job.effects.await_loaded(tuple(self._given))
        return first.api, late

    def _ours(self) -> list[Server]:
        """The servers that start with a file of the plan which is not the one they always had; the restarted first."""
        found = []
        for server in self._job.world.servers:
            stage = self._job.effects.stage_at_start(server.name)
            floor = self._job.plan.server(server.name).floor
            if stage is not None and (stage is not floor or self._job.way is Way.BACK):
                found.append(server)
        return sorted(found, key=lambda server: server.reloads)

    def _restart(self, server: Server) -> None:
        stage = self._job.effects.stage_at_start(server.name)
        if stage is None:
            raise RuntimeError("the file changed meanwhile")
        self._journaled(Restart(server.name, stage), lambda: self._job.effects.restart(server.name, stage))

    def _take_plugin_away(self, server: Server) -> None:
        """Nothing was written with it, and its absence may be what keeps the server down: the file as it was."""
        job, name = self._job, server.name
        if job.effects.stage_at_start(name) is Stage.ADDED and job.plan.server(name).floor is Stage.BASE:
            self._journaled(WriteFile(name, Stage.BASE), lambda: job.effects.write_file(name, Stage.BASE))
            if server.reloads:
                self._given.append(name)

    def _give_back(self, server: Server) -> int:
        """Where the server's next start would not read everything: the file of the stage next to it, which does."""
        job, name = self._job, server.name
        stage = job.effects.stage_at_start(name)
        if stage is None or not job.effects.unreadable_at_start(name):
            return 0
        found = job.readings.scan()
        (view,) = [view for view in Observer(job.world, job.plan, way=job.way).look().servers if view.name == name]
        if view.disk in {Stage.RETIRED, Stage.BASE}:
            wider = Stage.PROMOTED if view.disk is Stage.RETIRED else Stage.ADDED
            self._journaled(WriteFile(name, wider), lambda: job.effects.write_file(name, wider))
            if server.reloads:
                self._given.append(name)
        if view.flag_missing:
            self._journaled(EditManifest(name), lambda: job.effects.edit_manifest(name))
        let_go = stage is job.way.goal and view.disk in {job.way.goal, job.way.last}
        return job.readings.under_leaving(found) if let_go else 0
