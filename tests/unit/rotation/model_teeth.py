"""Guards of the rotation taken away, one at a time, and what has to happen for the model to notice.

The other half of the proof that the model would notice: `tests/mutants` has a test
for each guard; here it is found by looking for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize

from keyctl.rotation import machine, session
from keyctl.rotation.background import background_of
from keyctl.rotation.effects import ServerEffects
from keyctl.rotation.leaving import Leaving
from keyctl.rotation.loaded import Loaded
from keyctl.rotation.observation import Observation
from keyctl.rotation.plan import History, Way
from keyctl.rotation.readings import Readings
from keyctl.rotation.run import Run
from keyctl.rotation.steps import Blocked, Step
from tests.unit.rotation.model_machine import Rotations

Break = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Tooth:
    """One guard away by `cut`: which law says so, in a `setting`, when these things `happen`. `seed`: soon so."""

    guard: str
    law: str
    cut: Break
    happen: tuple[str, ...] = ()
    setting: str = "rotate by restart"
    seed: int = 1


def without(target: object, name: str, instead: object) -> Break:
    """`name` of `target` is something else."""
    return lambda patch: patch.setattr(target, name, instead)


def _nothing(*_: object, **__: object) -> None:
    """Instead of a guard that only refuses."""


def _unblocked(patch: pytest.MonkeyPatch) -> None:
    blocked = machine._blocked
    patch.setattr(machine, "_blocked", lambda seen: blocked(replace(seen, census_problem="")))


def _over_the_dead(patch: pytest.MonkeyPatch) -> None:
    decide = machine.next_step

    def next_step(seen: Observation) -> Step:
        up = tuple(server for server in seen.servers if server.ready)
        return decide(replace(seen, servers=up or seen.servers))

    patch.setattr(machine, "next_step", next_step)


def _foreign_is_fine(patch: pytest.MonkeyPatch) -> None:
    blocked = machine._blocked

    def no_r2(seen: Observation) -> Blocked | None:
        found = blocked(seen)
        return None if found is not None and found.rule == "R8" else found

    patch.setattr(machine, "_blocked", no_r2)


def _without_intent(patch: pytest.MonkeyPatch) -> None:
    write = Run._write

    def unjournaled(self: Run, kind: str, fields: dict[str, object]) -> None:
        if kind != "intent":
            write(self, kind, fields)

    patch.setattr(Run, "_write", unjournaled)


def _no_compaction(patch: pytest.MonkeyPatch) -> None:
    clear = Leaving.clear_history

    def ignoring(self: Leaving, *, ever_written: bool) -> None:
        job = self._job
        self._job = replace(job, plan=replace(job.plan, history=History.IGNORE))
        clear(self, ever_written=ever_written)
        self._job = job

    patch.setattr(Leaving, "clear_history", ignoring)


def _no_lease_check(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Run, "_breathe", lambda self: self._pause())


def _uncounted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Readings, "under_leaving", lambda self, found: 0)
    patch.setattr(Readings, "elsewhere", lambda self, found: 0)


def _in_no_time(self: Leaving, since: float) -> None:
    self._since = since
    self._job.observer.proofs = replace(self._job.observer.proofs, settled_again=True)


TEETH = (
    Tooth(
        "the time to settle after the last server let go", "R3: the end", without(Leaving, "settle_again", _in_no_time)
    ),
    Tooth("waiting while it settles", "R3", without(Leaving, "_wait_out", _nothing)),
    Tooth("dealing with history", "R6", _no_compaction),
    Tooth("the intent before an act", "R17", _without_intent),
    Tooth(
        "writing in place where a pod mounts the single file",
        "R13",
        without(ServerEffects, "_mounts_single_file", lambda self, server: False),
        setting="rotate mixed",
    ),
    Tooth(
        "the hash of what a server has loaded",
        "asks and asks",
        without(Loaded, "is_file", lambda self, sha256: True),
        ("a_server_lags",),
        "rotate by reload",
    ),
    Tooth("the census", "R11", _unblocked, ("a_server_joins_with_the_old_file",)),
    Tooth(
        "the look at every server before another one is touched",
        "R9|R2|R1",
        _over_the_dead,
        ("a_server_crashes",),
        seed=5,
    ),
    Tooth("the check of the Lease", "R8", _no_lease_check, ("another_machine_takes_the_lease",), seed=4),
    Tooth("the count of what is under a leaving key", "R3", _uncounted, ("a_write_is_held",), seed=5),
    Tooth(
        "the memory that the way is back",
        "R3|R7",
        without(session, "background_of", lambda records: replace(background_of(records), way=Way.FORWARD)),
        ("is_aborted", "is_killed"),
        seed=5,
    ),
    Tooth(
        "the sweep of what was cut off",
        "no way on|R8",
        without(session.Session, "_sweep", _nothing),
        ("is_killed_in_the_middle_of_a_file",),
        "rotate mixed",
        seed=5,
    ),
    Tooth(
        "no rest once a key leaves",
        "R3",
        lambda patch: patch.setattr(Run, "between_proofs", property(lambda self: False, _nothing), raising=False),
        ("has_its_window_closed",),
        seed=4,
    ),
    Tooth(
        "opening all that is stored with the file that a server is about to load",
        "R3|cannot read",
        without(ServerEffects, "_guard", _nothing),
        ("a_held_write_lands_right_before_a_key_leaves",),
    ),
    Tooth(
        "the refusal of a file that is none of the plan's",
        "R8|R2",
        _foreign_is_fine,
        ("somebody_changes_a_file",),
        seed=3,
    ),
)


def narrowed(tooth: Tooth) -> type[Rotations]:
    """The model, with nothing happening but what this tooth is about."""

    class Narrowed(Rotations):
        happens = frozenset(tooth.happen)

        @initialize(setting=st.just(tooth.setting))
        def begin(self, setting: str) -> None:
            self.set_up(setting)

    return Narrowed
