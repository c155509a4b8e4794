"""Run commands in turns and compare what they cost: A B A B …, so that a busy moment hits all alike."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[2]
_LAUNCH = Path(__file__).with_name("launch.py")
_SECONDS = 1800
_MEGABYTE = 1_000_000
# Whoever runs us may have a cluster of their own: no command may find it.
_FOREIGN = ("ETCDCTL_", "KEYCTL_", "KUBE")


class BenchError(Exception):
    """Something that was measured did not work; nothing else makes the benchmarks fail."""


@dataclass(frozen=True, slots=True)
class Command:
    """What is run, and how it must end.

    `tells`: the last line of its standard error is how long, in seconds, it took without its start.
    """

    words: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    exit_code: int = 0
    tells: bool = False


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run cost: seconds, peak resident megabytes, and the seconds without its start where it tells."""

    seconds: float
    megabytes: float
    told: float | None = None


def python(module: str, *arguments: str) -> tuple[str, ...]:
    """The words that run a module with this interpreter."""
    return (sys.executable, "-m", module, *arguments)


def keyctl(*arguments: str) -> tuple[str, ...]:
    """The words that run keyctl as its users do."""
    return python("keyctl", *arguments)


def run(command: Command, *flags: str) -> Cost:
    """Run `command` once, by launch.py with `flags`. Raises `BenchError` when it does not end as it must."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    done = subprocess.run(
        [sys.executable, "-I", "-S", _LAUNCH, *flags, *command.words],
        env=kept | dict(command.environment),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=_SECONDS,
    )
    cost = json.loads(done.stdout)
    if cost["exit"] != command.exit_code:
        said = "\n".join(done.stderr.splitlines()[-20:])
        raise BenchError(f"{' '.join(command.words)} ended with {cost['exit']}, not {command.exit_code}:\n{said}")
    told = float(done.stderr.splitlines()[-1]) if command.tells else None
    return Cost(cost["seconds"], cost["peak_bytes"] / _MEGABYTE, told)


def in_turns(
    commands: Mapping[str, Command], pairs: int, *, before: Callable[[], object] = lambda: None
) -> dict[str, tuple[Cost, ...]]:
    """Run each of `commands` once to warm up and then, in turns, `pairs` times; `before` every run."""
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for turn in range(pairs + 1):
        for name, command in commands.items():
            before()
            cost = run(command)
            if turn:
                costs[name].append(cost)
    return {name: tuple(some) for name, some in costs.items()}


def without_start(costs: Sequence[Cost]) -> tuple[Cost, ...]:
    """The same runs by the time that the command told. `ValueError` for one that does not tell."""
    if any(cost.told is None for cost in costs):
        raise ValueError("not every run told its time")
    return tuple(replace(cost, seconds=cost.told or 0.0) for cost in costs)


def peak(costs: Sequence[Cost]) -> float:
    """The largest of the peaks, in megabytes."""
    return max(cost.megabytes for cost in costs)


def family_peak(command: Command, runs: int) -> float:
    """The most megabytes that `command` and its children held together, in runs that are not timed."""
    return max(run(command, "--family").megabytes for _ in range(runs))


def ratios(ours: Sequence[Cost], theirs: Sequence[Cost]) -> tuple[float, ...]:
    """How many times as long ours took, pair by pair."""
    return tuple(our.seconds / their.seconds for our, their in zip(ours, theirs, strict=True))


def seconds(costs: Sequence[Cost]) -> float:
    """The median time."""
    return median(cost.seconds for cost in costs)
