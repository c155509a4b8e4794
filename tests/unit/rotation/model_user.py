"""A user and their keyctl: it is begun, let go on, stopped, killed and begun again, and comes to its end at last.

What may happen meanwhile is in `model_machine`, what must be so at every moment in
`model_laws`, how a process may end and what comes after all of it in `model_ending`.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from hypothesis.stateful import RuleBasedStateMachine

from keyctl.rotation.closing import WindowClosedError
from keyctl.rotation.plan import State
from keyctl.rotation.session import Finished, Session
from tests.support.sim_parts import Watcher
from tests.support.sim_server import SimServer
from tests.unit.rotation.model_cluster import ModelCluster
from tests.unit.rotation.model_ending import check_end, check_exit
from tests.unit.rotation.model_process import Process
from tests.unit.rotation.scenes import SCENES, Agree, Scene, Was, begin

# Servers of a version that does not say what they have loaded.
_OLDER = "v1.33.4"
SETTINGS = {scene.name: scene for scene in SCENES} | {
    f"{scene.name}, {_OLDER}": replace(scene, specs=tuple(replace(spec, version=_OLDER) for spec in scene.specs))
    for scene in SCENES
    if scene.name in {"enable without flag", "rotate by restart", "rotate by reload", "rotate mixed"}
}
# More points than any rotation has that nobody disturbs.
_LONG = 400

# What was tried in this process, for people.
TALLY: Counter[str] = Counter()


class User(RuleBasedStateMachine):
    """One cluster, one rotation, and who wants it."""

    cluster: ModelCluster
    scene: Scene
    was: Was

    def __init__(self) -> None:
        super().__init__()
        self._directory = tempfile.TemporaryDirectory(prefix="keyctl-model-")
        self.process: Process | None = None
        self.watcher = Watcher()
        self.done: State | None = None
        self.interrupted = self.window_closed = False
        self._stops = 0

    def set_up(self, setting: str) -> None:
        """A cluster as `SETTINGS` has it."""
        self.scene = SETTINGS[setting]
        self.cluster = ModelCluster(Path(self._directory.name), self.scene.specs, self.scene.config)
        self.was = Was.of(self.cluster)
        TALLY["examples"] += 1

    def _start(self, work: Callable[[], Finished]) -> None:
        TALLY["processes"] += 1
        self.process = self.cluster.switch.process = Process(work)

    def _new_session(self, *, pause_after: State | None = None) -> Session:
        self.cluster.new_process()
        self.interrupted = self.window_closed = False
        self.watcher = Watcher()
        return self.cluster.session(watcher=self.watcher, pause=self._pause, pause_after=pause_after)

    def _pause(self) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        if self.window_closed:
            raise WindowClosedError("the maintenance window closed", hint="this goes on by: keyctl rotate --if-due")

    def resume(self, *, pause_after: State | None = None) -> None:
        session = self._new_session(pause_after=pause_after)
        under_way = bool(self.cluster.journal().unfinished())
        self._start(session.resume if under_way else lambda: begin(session, self.scene.wish))

    def go(self, so_far: float, *, finely: bool = False) -> None:
        """Let keyctl go on for so many points; one that has ended is begun anew."""
        if self.done is not None:
            return
        TALLY["rules"] += 1
        if self.process is None:
            self._try_again()
        assert self.process is not None
        self.process.go(so_far, finely=finely)
        if self.process.ended:
            self._judge_exit()

    def _try_again(self) -> None:
        """What a user does who was stopped: wait for a while, or, when that did not help, do what was said."""
        self._stops += 1
        if self._stops % 3 == 0:
            self.cluster.put_back()
        if self._stops % 3 == 0 and self.cluster.unlisted:
            self._take_in_or_leave(stays=self._stops % 2 == 0)
        self.cluster.clock.advance(0 if self._stops == 1 else 60)
        self.resume()

    def _judge_exit(self) -> None:
        assert self.process is not None
        process, self.process = self.process, None
        TALLY["effects"] += len(self.cluster.switch.labels)
        self.cluster.switch.labels.clear()
        self.done = check_exit(self.cluster, process, self.watcher)

    def server(self, number: int) -> SimServer:
        return self.cluster.servers[number % len(self.cluster.servers)]

    def go_to(self, label: str, nth: int = 1) -> None:
        """Let keyctl go on until it is about to do that for the `nth` time, if it ever does."""
        for _ in range(_LONG):
            self.go(1)
            nth -= self.process is not None and label in self.cluster.switch.at
            if nth == 0 or self.process is None:
                return

    def kill(self) -> None:
        if self.process is not None:
            TALLY["kills"] += 1
            self.cluster.switch.kill()
            self._judge_exit()
        self.cluster.check_promise("a kill")

    def abort(self) -> None:
        session = self._new_session()
        self._start(lambda: session.abort(confirm=Agree()))

    def _take_in_or_leave(self, *, stays: bool) -> None:
        if not (stays and self.cluster.take_in()):
            self.cluster.leave()

    # -- the end

    def teardown(self) -> None:
        """Everything is over: keyctl comes to its end, perhaps with a hand from its operator."""
        try:
            if hasattr(self, "cluster"):
                self._come_to_the_end()
        finally:
            if self.process is not None and not self.process.ended:
                self.cluster.switch.kill()
            self._directory.cleanup()

    def _come_to_the_end(self) -> None:
        self.cluster.calm()
        if self.process is not None:
            self.interrupted = self.window_closed = False
            self.go(float("inf"))
        self.done = check_end(self.cluster, self.scene, self.was)
        TALLY[f"ended {self.done.value}"] += 1
