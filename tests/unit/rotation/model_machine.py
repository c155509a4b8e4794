"""Everything that can happen to a rotation, in any order and at any of its points, as rules for hypothesis.

Each rule first lets keyctl go on for a while; whoever has no keyctl at work begins
one, as a user does after any stop. What must be so at every moment is in
`model_laws`, how a process may end and what comes after all of it in `model_ending`.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from keyctl.rotation.closing import WindowClosedError
from keyctl.rotation.plan import State
from keyctl.rotation.session import Finished
from tests.support.sim_parts import Watcher
from tests.support.sim_server import SimServer
from tests.unit.rotation.model_cluster import ModelCluster
from tests.unit.rotation.model_ending import check_end, check_exit
from tests.unit.rotation.model_process import Lost, Process
from tests.unit.rotation.scenes import SCENES, Agree, Scene, Was, begin

# Servers of a version that does not say what they have loaded.
_OLDER = "v1.33.4"
SETTINGS = {scene.name: scene for scene in SCENES} | {
    f"{scene.name}, {_OLDER}": replace(scene, specs=tuple(replace(spec, version=_OLDER) for spec in scene.specs))
    for scene in SCENES
    if scene.name in {"enable without flag", "rotate by restart", "rotate by reload", "rotate mixed"}
}
scenes = st.sampled_from(sorted(SETTINGS))
# How far keyctl gets before something happens: so many points, of which a whole rotation has about 200.
points = st.integers(0, 30) | st.integers(0, 150)
which = st.integers(0, 3)
moments = st.floats(1, 59).map(round)
whiles = st.sampled_from([5, 20, 60, 100, 200, 400])
jumps = st.sampled_from([-100_000, -3600, -90, -20, 20, 90, 3600, 100_000])
names = st.sampled_from(["db-1", "db-2", "db-3", "db-4", "new-1", "new-2", "new-3"])
PAUSES = [State.GENERATED, State.READABLE, State.SWITCHED, State.VERIFIED, State.RESECURED]

TALLY: Counter[str] = Counter()


class Rotations(RuleBasedStateMachine):
    """One cluster, one rotation, and whoever gets in its way."""

    cluster: ModelCluster
    scene: Scene
    was: Was

    def __init__(self) -> None:
        super().__init__()
        self._directory = tempfile.TemporaryDirectory(prefix="keyctl-model-")
        self.process: Process | None = None
        self.watcher = Watcher()
        self.done: State | None = None
        self._interrupted = self._window_closed = False
        self._stops = 0

    @initialize(scene=scenes)
    def begin(self, scene: str) -> None:
        self.scene = SETTINGS[scene]
        self.cluster = ModelCluster(Path(self._directory.name), self.scene.specs, self.scene.config)
        self.was = Was.of(self.cluster)
        TALLY["examples"] += 1

    # -- keyctl

    def _start(self, work: Callable[[], Finished]) -> None:
        TALLY["processes"] += 1
        self.process = self.cluster.switch.process = Process(work)

    def _new_session(self, *, pause_after: State | None = None):
        self.cluster.new_process()
        self._interrupted = self._window_closed = False
        self.watcher = Watcher()
        return self.cluster.session(watcher=self.watcher, pause=self._pause, pause_after=pause_after)

    def _pause(self) -> None:
        if self._interrupted:
            raise KeyboardInterrupt
        if self._window_closed:
            raise WindowClosedError("the maintenance window closed", hint="this goes on by: keyctl rotate --if-due")

    def _resume(self, *, pause_after: State | None = None) -> None:
        session = self._new_session(pause_after=pause_after)
        under_way = bool(self.cluster.journal().unfinished())
        self._start(session.resume if under_way else lambda: begin(session, self.scene.wish))

    def _go(self, so_far: float, *, finely: bool = False) -> None:
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
            self.it_is_taken_in_or_goes(stays=self._stops % 2 == 0)
        self.cluster.clock.advance(0 if self._stops == 1 else 60)
        self._resume()

    def _judge_exit(self) -> None:
        assert self.process is not None
        process, self.process = self.process, None
        TALLY["effects"] += len(self.cluster.switch.labels)
        self.cluster.switch.labels.clear()
        self.done = check_exit(self.cluster, process, self.watcher)

    @property
    def _under_way(self) -> bool:
        return self.done is None

    def _server(self, number: int) -> SimServer:
        return self.cluster.servers[number % len(self.cluster.servers)]

    @rule(so_far=st.integers(1, 80))
    def goes_on(self, so_far: int) -> None:
        self._go(so_far)

    @rule(so_far=points, asked=st.integers(1, 30))
    def goes_on_finely(self, so_far: int, asked: int) -> None:
        self._go(so_far)
        self._go(asked, finely=True)

    @precondition(lambda self: self._under_way)
    @rule(so_far=points, tears=st.booleans())
    def is_killed(self, so_far: int, tears: bool) -> None:
        self._go(so_far)
        if self.process is None:
            return
        if tears and ": write " in self.cluster.switch.at:
            self.cluster.tears = True
            self.process.go(1)
        self._kill()

    def _kill(self) -> None:
        if self.process is not None:
            TALLY["kills"] += 1
            self.cluster.switch.kill()
            self._judge_exit()
        self.cluster.check_promise("a kill")

    @precondition(lambda self: self._under_way)
    @rule(so_far=points)
    def is_interrupted(self, so_far: int) -> None:
        self._go(so_far)
        self._interrupted = True

    @precondition(lambda self: self._under_way)
    @rule(so_far=points)
    def has_its_window_closed(self, so_far: int) -> None:
        self._go(so_far)
        self._window_closed = True

    @precondition(lambda self: self._under_way)
    @rule(so_far=points, state=st.sampled_from(PAUSES))
    def is_to_pause(self, so_far: int, state: State) -> None:
        self._go(so_far)
        self._kill()
        if self.done is None and not self.cluster.goes_back():
            self._resume(pause_after=state)

    @precondition(lambda self: self._under_way)
    @rule(so_far=points)
    def is_aborted(self, so_far: int) -> None:
        self._go(so_far)
        self._kill()
        if self.done is None and self.cluster.journal().unfinished():
            session = self._new_session()
            self._start(lambda: session.abort(confirm=Agree()))

    # -- servers and their hosts

    @precondition(lambda self: self._under_way)
    @rule(so_far=points, number=which, seconds=whiles)
    def a_server_crashes(self, so_far: int, number: int, seconds: int) -> None:
        self._go(so_far)
        self.cluster.crash(self._server(number), seconds)

    @precondition(lambda self: self._under_way)
    @rule(so_far=points, number=which)
    def somebody_restarts_a_server(self, so_far: int, number: int) -> None:
        self._go(so_far)
        self._server(number).restart()

    @precondition(lambda self: self._under_way)
    @rule(so_far=points, number=which, seconds=whiles)
    def a_server_is_frozen(self, so_far: int, number: int, seconds: int) -> None:
        self._go(so_far)
        self.cluster.freeze(self._server(number), seconds)

    @precondition(lambda self: self._under_way)
    @rule(so_far=points, number=which, seconds=whiles, host=st.booleans())
    def a_connection_is_cut(self, so_far: int, number: int, seconds: int, host: bool) -> None:
        self._go(so_far)
        self.cluster.cut_off(self._server(number), seconds, host=host)

    @precondition(lambda self: self._under_way)
    @rule(so_far=points, number=which, seconds=whiles, refuses=st.booleans())
    def a_server_lags(self, so_far: int, number: int, seconds: int, refuses: bool) -> None:
        self._go(so_far)
        self.cluster.lag(self._server(number), seconds, refuses=refuses)

    @precondition(lambda self: self._under_way)
    @rule(so_far=points)
    def the_whole_control_plane_goes_down(self, so_far: int) -> None:
        self._go(so_far)
        for server in self.cluster.servers:
            self.cluster.crash(server, 30)

    # -- objects and etcd

    @precondition(lambda self: self._under_way)
    @rule(so_far=points, number=which, name=names, filler=st.binary(min_size=1, max_size=3))
    def a_client_writes(self, so_far: int, number: int, name: str, filler: bytes) -> None:
        self._go(so_far)
        if self.cluster.usable(self._server(number)):
            self.cluster.client_stores(self._server(number), name, filler.hex().encode())

    @precondition(lambda self: self._under_way)
    @rule(so_far=points, number=which, name=names)
    def a_client_deletes(self, so_far: int, number: int, name: str) -> None:
        self._go(so_far)
        if self.cluster.usable(self._server(number)):
            self.cluster.client_deletes(name)

    @precondition(lambda self: self._under_way)
    @rule(so_far=points, number=which, name=names, seconds=moments)
    def a_write_is_held(self, so_far: int, number: int, name: str, seconds: int) -> None:
        self._go(so_far)
        if self.cluster.usable(self._server(number)):
            self.cluster.client_is_held(self._server(number), name, b"held", seconds)

    @precondition(lambda self: self._under_way)
    @rule(so_far=points, number=which)
    def a_write_is_held_for_ever(self, so_far: int, number: int) -> None:
        self._go(so_far)
        if self.cluster.usable(self._server(number)):
            self.cluster.client_is_held_for_ever(self._server(number))

    @precondition(lambda self: self._under_way)
    @rule(so_far=points)
    def and_lands_all_the_same(self, so_far: int) -> None:
        self._go(so_far)
        if self.done is None and not self.cluster.last_proof_is_made():
            self.cluster.land()

    @precondition(lambda self: self._under_way)
    @rule(so_far=points, seconds=whiles)
    def no_etcd_answers(self, so_far: int, seconds: int) -> None:
        self._go(so_far)
        self.cluster.outage(seconds)

    @precondition(lambda self: self._under_way)
    @rule(so_far=points, asked=st.integers(1, 30))
    def somebody_compacts(self, so_far: int, asked: int) -> None:
        self._go(so_far)
        self._go(asked, finely=True)
        self.cluster.compact()

    @precondition(lambda self: self._under_way)
    @rule(so_far=points, name=names, seconds=whiles)
    def a_webhook_refuses(self, so_far: int, name: str, seconds: int) -> None:
        self._go(so_far)
        self.cluster.refuse(name, seconds)

    # -- what is lost on the way

    @precondition(lambda self: self._under_way)
    @rule(so_far=points, lost=st.sampled_from(Lost))
    def an_act_is_lost(self, so_far: int, lost: Lost) -> None:
        self._go(so_far)
        self.cluster.switch.lost = lost

    @precondition(lambda self: self._under_way)
    @rule(so_far=points, answers=st.integers(1, 6), name=names, conflicts=st.integers(0, 3))
    def answers_to_patches_are_lost(self, so_far: int, answers: int, name: str, conflicts: int) -> None:
        self._go(so_far)
        self.cluster.lost_answers += answers
        self.cluster.conflicts[f"/registry/secrets/default/{name}".encode()] = conflicts

    # -- clocks

    @precondition(lambda self: self._under_way)
    @rule(so_far=points, seconds=jumps)
    def our_clock_jumps(self, so_far: int, seconds: int) -> None:
        self._go(so_far)
        self.cluster.clock.jumped += seconds

    @precondition(lambda self: self._under_way)
    @rule(so_far=points, number=which, seconds=jumps)
    def the_clock_of_a_host_jumps(self, so_far: int, number: int, seconds: int) -> None:
        self._go(so_far)
        name = self._server(number).name
        self.cluster.jumps[name] = self.cluster.jumps.get(name, 0.0) + seconds

    @precondition(lambda self: self._under_way)
    @rule(so_far=points, seconds=whiles)
    def keyctl_sleeps(self, so_far: int, seconds: int) -> None:
        self._go(so_far)
        self.cluster.suspend(seconds)

    # -- other people

    @precondition(lambda self: self._under_way)
    @rule(so_far=points)
    def a_server_joins_with_the_old_file(self, so_far: int) -> None:
        self._go(so_far)
        if self.done is None and self.scene.config is not None and self.cluster.nobody_joined():
            self.cluster.join()

    def it_is_taken_in_or_goes(self, *, stays: bool) -> None:
        if stays and self.cluster.take_in():
            self.was.files.append(self.cluster.beginning_of_joined())
        else:
            self.cluster.leave()

    @precondition(lambda self: self._under_way)
    @rule(so_far=points, number=which, older=st.booleans())
    def somebody_changes_a_file(self, so_far: int, number: int, older: bool) -> None:
        self._go(so_far)
        if self.done is None:
            self.cluster.meddle(self._server(number), older=older)

    @precondition(lambda self: self._under_way)
    @rule(so_far=points)
    def and_puts_it_back(self, so_far: int) -> None:
        self._go(so_far)
        self.cluster.put_back()

    @precondition(lambda self: self._under_way)
    @rule(so_far=points, seconds=whiles)
    def another_machine_takes_the_lease(self, so_far: int, seconds: int) -> None:
        self._go(so_far)
        self.cluster.steal_lease(seconds)

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
            self._interrupted = self._window_closed = False
            self._go(float("inf"))
        self.done = check_end(self.cluster, self.scene, self.was)
        TALLY[f"ended {self.done.value}"] += 1
