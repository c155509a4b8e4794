"""The machine, model-checked: whatever is interrupted, delayed, lost or changed, R1 to R18 hold."""

from __future__ import annotations

import os

import pytest

from tests.unit.rotation.model_machine import Rotations
from tests.unit.rotation.model_run import explore
from tests.unit.rotation.model_teeth import TEETH, Tooth, narrowed
from tests.unit.rotation.scenes import skip_slow_parts

EXAMPLES = int(os.environ.get("KEYCTL_MODEL_EXAMPLES", "30"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_slow_parts(monkeypatch)


def test_whatever_happens_in_whatever_order_no_rule_is_broken_and_the_rotation_ends() -> None:
    explore(Rotations, examples=EXAMPLES)


@pytest.mark.parametrize("tooth", TEETH, ids=lambda tooth: tooth.guard)
def test_without_a_guard_the_model_finds_what_it_was_there_for(tooth: Tooth, monkeypatch: pytest.MonkeyPatch) -> None:
    tooth.cut(monkeypatch)
    with pytest.raises(AssertionError, match=tooth.law):
        explore(narrowed(tooth), examples=100, a_seed=tooth.seed, shrinks=False)
