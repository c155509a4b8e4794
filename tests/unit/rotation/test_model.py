"""The machine, model-checked: hypothesis interrupts, delays, loses and changes; R1 to R18 hold all the same."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.unit.rotation.model_machine import Rotations
from tests.unit.rotation.scenes import skip_slow_parts

EXAMPLES = int(os.environ.get("KEYCTL_MODEL_EXAMPLES", "40"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_slow_parts(monkeypatch)


def test_whatever_happens_in_whatever_order_no_rule_is_broken_and_the_rotation_ends() -> None:
    run_state_machine_as_test(
        Rotations,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=25,
            deadline=None,
            derandomize="KEYCTL_MODEL_EXAMPLES" not in os.environ,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        ),
    )
