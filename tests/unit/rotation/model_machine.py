"""Everything that can happen to a rotation, in any order and at any of its points, as rules for hypothesis.

Each rule first lets keyctl go on for a while; whoever has no keyctl at work begins
one, as a user does after any stop. What must be so at every moment is in
`model_laws`, how a process may end and what comes after all of it in `model_ending`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from keyctl.rotation.plan import State
from tests.support.sim_server import CONFIG_PATH
from tests.unit.rotation.model_process import Lost
from tests.unit.rotation.model_user import SETTINGS, User

places = st.sampled_from(sorted(SETTINGS))
# How far keyctl gets before something happens: so many points, of which a whole rotation has about 200.
points = st.integers(0, 30) | st.integers(0, 220)
which = st.integers(0, 3)
moments = st.floats(1, 59).map(round)
whiles = st.sampled_from([5, 20, 60, 100, 200, 400])
jumps = st.sampled_from([-100_000, -3600, -90, -20, 20, 90, 3600, 100_000])
names = st.sampled_from(["db-1", "db-2", "db-3", "db-4", "new-1", "new-2", "new-3"])
# Between two looks at all values, and between the last look and the act.
DOORS = [
    "journal state switched",
    "journal outcome rewrite",
    "journal proof verified",
    "journal proof history",
    "journal proof resecured",
    "journal intent write-file",
    "journal intent restart",
    "journal outcome restart",
]
PAUSES = [State.GENERATED, State.READABLE, State.SWITCHED, State.VERIFIED, State.RESECURED]

Method = TypeVar("Method", bound=Callable[..., None])


def here(method: Method) -> Method:
    """While a rotation is under way, and where such a thing may happen at all."""
    name = method.__name__
    marked: Method = precondition(lambda self: self.done is None and self.may_happen(name))(method)
    return marked


class Rotations(User):
    """Whatever gets in the way of a rotation. `happens`: nothing else does; None stands for anything."""

    happens: frozenset[str] | None = None

    @initialize(setting=places)
    def begin(self, setting: str) -> None:
        self.set_up(setting)

    def may_happen(self, name: str) -> bool:
        """Whether the rule of that name has a part in this."""
        return self.happens is None or name in self.happens

    # -- keyctl

    @rule(so_far=st.integers(1, 80))
    def goes_on(self, so_far: int) -> None:
        self.go(so_far)

    @here
    @rule(so_far=points, asked=st.integers(1, 30))
    def goes_on_finely(self, so_far: int, asked: int) -> None:
        self.go(so_far)
        self.go(asked, finely=True)

    @here
    @rule(so_far=points)
    def is_killed(self, so_far: int) -> None:
        self.go(so_far)
        self.kill()

    @here
    @rule(so_far=points, nth=st.integers(1, 9))
    def is_killed_in_the_middle_of_a_file(self, so_far: int, nth: int) -> None:
        self.go(so_far)
        self.go_to(f": write {CONFIG_PATH}", nth)
        if self.process is not None:
            self.cluster.tears = True
            self.process.go(1)
        self.kill()

    @here
    @rule(so_far=points)
    def is_interrupted(self, so_far: int) -> None:
        self.go(so_far)
        self.interrupted = True

    @here
    @rule(so_far=points)
    def has_its_window_closed(self, so_far: int) -> None:
        self.go(so_far)
        self.window_closed = True

    @here
    @rule(so_far=points, state=st.sampled_from(PAUSES))
    def is_to_pause(self, so_far: int, state: State) -> None:
        self.go(so_far)
        self.kill()
        if self.done is None and not self.cluster.goes_back():
            self.resume(pause_after=state)

    @here
    @rule(so_far=points)
    def is_aborted(self, so_far: int) -> None:
        self.go(so_far)
        self.kill()
        if self.done is None and self.cluster.journal().unfinished():
            self.abort()

    # -- servers and their hosts

    @here
    @rule(so_far=points, number=which, seconds=whiles)
    def a_server_crashes(self, so_far: int, number: int, seconds: int) -> None:
        self.go(so_far)
        self.cluster.crash(self.server(number), seconds)

    @here
    @rule(so_far=points, number=which)
    def somebody_restarts_a_server(self, so_far: int, number: int) -> None:
        self.go(so_far)
        self.server(number).restart()

    @here
    @rule(so_far=points, number=which, seconds=whiles)
    def a_server_is_frozen(self, so_far: int, number: int, seconds: int) -> None:
        self.go(so_far)
        self.cluster.freeze(self.server(number), seconds)

    @here
    @rule(so_far=points, number=which, seconds=whiles, host=st.booleans())
    def a_connection_is_cut(self, so_far: int, number: int, seconds: int, host: bool) -> None:
        self.go(so_far)
        self.cluster.cut_off(self.server(number), seconds, host=host)

    @here
    @rule(so_far=points, number=which, seconds=whiles, refuses=st.booleans())
    def a_server_lags(self, so_far: int, number: int, seconds: int, refuses: bool) -> None:
        self.go(so_far)
        self.cluster.lag(self.server(number), seconds, refuses=refuses)

    @here
    @rule(so_far=points)
    def the_whole_control_plane_goes_down(self, so_far: int) -> None:
        self.go(so_far)
        for server in self.cluster.servers:
            self.cluster.crash(server, 30)

    # -- objects and etcd

    @here
    @rule(so_far=points, number=which, name=names, filler=st.binary(min_size=1, max_size=3))
    def a_client_writes(self, so_far: int, number: int, name: str, filler: bytes) -> None:
        self.go(so_far)
        if self.cluster.usable(self.server(number)):
            self.cluster.client_stores(self.server(number), name, filler.hex().encode())

    @here
    @rule(so_far=points, number=which, name=names)
    def a_client_deletes(self, so_far: int, number: int, name: str) -> None:
        self.go(so_far)
        if self.cluster.usable(self.server(number)):
            self.cluster.client_deletes(name)

    @here
    @rule(so_far=points, number=which, name=names, seconds=moments)
    def a_write_is_held(self, so_far: int, number: int, name: str, seconds: int) -> None:
        self.go(so_far)
        if self.cluster.usable(self.server(number)):
            self.cluster.client_is_held(self.server(number), name, b"held", seconds)

    @here
    @rule(so_far=points, number=which)
    def a_write_is_held_for_ever(self, so_far: int, number: int) -> None:
        self.go(so_far)
        if self.cluster.usable(self.server(number)):
            self.cluster.client_is_held_for_ever(self.server(number))

    @here
    @rule(so_far=points)
    def and_lands_all_the_same(self, so_far: int) -> None:
        self.go(so_far)
        if self.done is None and not self.cluster.last_proof_is_made():
            self.cluster.land()

    @here
    @rule(label=st.sampled_from(DOORS), nth=st.just(1) | st.integers(1, 9))
    def and_lands_at_the_door(self, label: str, nth: int) -> None:
        self.go_to(label, nth)
        if self.process is not None and not self.cluster.last_proof_is_made():
            self.process.go(1)
            self.cluster.land()
            self.go(1)

    @here
    @rule(so_far=points, number=which)
    def a_held_write_lands_right_before_a_key_leaves(self, so_far: int, number: int) -> None:
        self.a_write_is_held_for_ever(so_far, number)
        self.and_lands_at_the_door("journal proof resecured", 1)

    @here
    @rule(so_far=points, seconds=whiles)
    def no_etcd_answers(self, so_far: int, seconds: int) -> None:
        self.go(so_far)
        self.cluster.outage(seconds)

    @here
    @rule(so_far=points, asked=st.integers(1, 30))
    def somebody_compacts(self, so_far: int, asked: int) -> None:
        self.go(so_far)
        self.go(asked, finely=True)
        self.cluster.compact()

    @here
    @rule(so_far=points, name=names, seconds=whiles)
    def a_webhook_refuses(self, so_far: int, name: str, seconds: int) -> None:
        self.go(so_far)
        self.cluster.refuse(name, seconds)

    # -- what is lost on the way

    @here
    @rule(so_far=points, lost=st.sampled_from(Lost))
    def an_act_is_lost(self, so_far: int, lost: Lost) -> None:
        self.go(so_far)
        self.cluster.switch.lost = lost

    @here
    @rule(so_far=points, answers=st.integers(1, 6), name=names, conflicts=st.integers(0, 3))
    def answers_to_patches_are_lost(self, so_far: int, answers: int, name: str, conflicts: int) -> None:
        self.go(so_far)
        self.cluster.lost_answers += answers
        self.cluster.conflicts[f"/registry/secrets/default/{name}".encode()] = conflicts

    # -- clocks

    @here
    @rule(so_far=points, seconds=jumps)
    def our_clock_jumps(self, so_far: int, seconds: int) -> None:
        self.go(so_far)
        self.cluster.clock.jumped += seconds

    @here
    @rule(so_far=points, number=which, seconds=jumps)
    def the_clock_of_a_host_jumps(self, so_far: int, number: int, seconds: int) -> None:
        self.go(so_far)
        name = self.server(number).name
        self.cluster.jumps[name] = self.cluster.jumps.get(name, 0.0) + seconds

    @here
    @rule(so_far=points, seconds=whiles)
    def keyctl_sleeps(self, so_far: int, seconds: int) -> None:
        self.go(so_far)
        self.cluster.suspend(seconds)

    # -- other people

    @here
    @rule(so_far=points)
    def a_server_joins_with_the_old_file(self, so_far: int) -> None:
        self.go(so_far)
        if self.done is None and self.scene.config is not None and self.cluster.nobody_joined():
            self.cluster.join()

    @here
    @rule(so_far=points, number=which, older=st.booleans())
    def somebody_changes_a_file(self, so_far: int, number: int, older: bool) -> None:
        self.go(so_far)
        if self.done is None:
            self.cluster.meddle(self.server(number), older=older)

    @here
    @rule(so_far=points)
    def and_puts_it_back(self, so_far: int) -> None:
        self.go(so_far)
        self.cluster.put_back()

    @here
    @rule(so_far=points, seconds=whiles)
    def another_machine_takes_the_lease(self, so_far: int, seconds: int) -> None:
        self.go(so_far)
        self.cluster.steal_lease(seconds)
