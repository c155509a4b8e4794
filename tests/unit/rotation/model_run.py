"""The model for as long as one likes: `python -m tests.unit.rotation.model_run [--seconds N] [--seed S]`.

Exit 1, with the shortest way there that was found, when a rule is broken or a
rotation has no way on.
"""

from __future__ import annotations

import argparse
import sys
import time

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.unit.rotation.model_machine import Rotations
from tests.unit.rotation.model_user import TALLY
from tests.unit.rotation.scenes import skip_slow_parts

STEPS = 25
_EXAMPLES_A_ROUND = 100


def explore(machine: type[Rotations], *, examples: int, a_seed: int | None = None, shrinks: bool = True) -> None:
    """Try `examples` of what can happen; with no seed the same ones each time. Raises what the first failure raises."""
    how = settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        derandomize=a_seed is None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        phases=(Phase.generate, Phase.shrink) if shrinks else (Phase.generate,),
    )
    chosen = machine if a_seed is None else seed(a_seed)(type(machine.__name__, (machine,), {}))
    run_state_machine_as_test(chosen, settings=how)


def main(arguments: list[str]) -> int:
    """Explore round after round, each with the next seed; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.unit.rotation.model_run")
    parser.add_argument("--seconds", metavar="N", type=float, default=600.0, help="how long (default: 600)")
    parser.add_argument("--seed", metavar="S", type=int, default=1, help="that of the first round (default: 1)")
    options = parser.parse_args(arguments)
    begun, number = time.monotonic(), options.seed
    with pytest.MonkeyPatch.context() as patch:
        skip_slow_parts(patch)
        while time.monotonic() - begun < options.seconds:
            explore(Rotations, examples=_EXAMPLES_A_ROUND, a_seed=number)
            number += 1
    counts = ", ".join(f"{count} {what}" for what, count in TALLY.items())
    sys.stdout.write(f"{time.monotonic() - begun:.0f} s, seeds {options.seed} to {number - 1}: {counts}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
