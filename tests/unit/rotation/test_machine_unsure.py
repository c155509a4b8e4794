"""The machine where nothing shows what a server has loaded, and where a census says what it lacks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keyctl.rotation import steps
from keyctl.rotation.machine import next_step
from tests.unit.rotation.machine_views import ADDED, BASE, PROMOTED, READABLE, SWITCHED, at, back, seen, unflagged


@pytest.mark.parametrize(
    ("reloads", "step"),
    [(True, steps.AwaitLoaded(("a",))), (False, steps.Restart("a", ADDED))],
    ids=["reload", "restart"],
)
def test_a_server_of_which_nothing_shows_what_it_has_loaded_is_brought_to_load_its_file(
    reloads: bool, step: steps.Step
) -> None:
    unsure = replace(at(ADDED, proven=False), loaded=None, unsure=True, reloads=reloads)
    assert next_step(seen(unsure, at(ADDED, "b"))) == step
    assert next_step(back(unsure, at(ADDED, "b"))) == step
    foreign = next_step(seen(replace(unsure, unsure=False), at(ADDED, "b")))
    assert isinstance(foreign, steps.Blocked)
    assert foreign.rule == "R8"


def test_on_the_way_back_one_without_its_flag_is_restarted_rather_than_proven_for_ever() -> None:
    unsure = unflagged(replace(at(ADDED, proven=False), loaded=None, unsure=True))
    assert next_step(back(unsure, unflagged(at(ADDED, "b"), missing=False))) == steps.Restart("a", BASE)


def test_no_key_writes_anywhere_while_nothing_shows_that_one_server_reads_it() -> None:
    unsure = replace(at(ADDED, proven=False), loaded=None, unsure=True)
    assert next_step(seen(at(ADDED, "b"), unsure, proofs=READABLE)) == steps.Restart("a", ADDED)


def test_nothing_is_proven_unused_while_nothing_shows_what_one_server_writes_with() -> None:
    unsure = replace(at(PROMOTED, proven=False), loaded=None, unsure=True)
    assert next_step(seen(at(PROMOTED, "b"), unsure, proofs=SWITCHED)) == steps.Restart("a", PROMOTED)


def test_what_a_census_lacks_is_said_with_what_to_do_about_it() -> None:
    step = next_step(replace(seen(at(BASE)), census_problem="cp9 is new", census_hints=("list it",)))
    assert step == steps.Blocked("R11", "cp9 is new", ("list it", "then: keyctl rotate --resume"))
