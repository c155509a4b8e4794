"""What a value costs, and the memory, when there are more and more of them: in snapshots, and in a real etcd."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from keyctl.keys.key import Provider
from tests.benchmarks.made_snapshot import PREFIX, made_snapshot
from tests.benchmarks.measure import Command, Cost, family_peak, in_turns, peak, ratios, seconds, without_start
from tests.benchmarks.offline import FAMILY_PEAKS, MEMORY_RUNS, census_of, require_counted
from tests.benchmarks.scanning import MEMORY_LIMIT, filled
from tests.benchmarks.table import Row, say, show

_MOST_REPEATS, _WORTH_TIMING = 20, 200_000


def growing(folder: Path, sizes: Sequence[int], pairs: int) -> None:
    """Both for each of `sizes`, which ascend."""
    folder.mkdir()
    _offline(folder, sizes, pairs)
    _live(folder / "live", sizes, pairs)


def _offline(folder: Path, sizes: Sequence[int], pairs: int) -> None:
    first, commands = made_snapshot(folder / "one.db", 1), {}
    for size in sizes:
        say(f"writing a snapshot of {size} values")
        snapshot = made_snapshot(folder / f"{size}.db", size)
        require_counted(census_of(snapshot, PREFIX.decode(), first), size)
        commands[size] = census_of(snapshot, PREFIX.decode(), first, repeat=_repeat(size))
    costs = _in_turns(commands, pairs)
    peaks = {size: family_peak(command, MEMORY_RUNS) for size, command in commands.items()}
    for size in sizes:
        (folder / f"{size}.db").unlink()
    show(f"growth: offline census, counted, without its start; {FAMILY_PEAKS}", _rows(costs, peaks, None))


def _live(folder: Path, sizes: Sequence[int], pairs: int) -> None:
    with filled(folder, {_prefix(size): size for size in sizes}) as stage:
        flags = stage.judged_by(Provider.AESCBC)
        costs = _in_turns({size: stage.inside(_prefix(size), *flags, repeat=_repeat(size)) for size in sizes}, pairs)
    peaks = {size: peak(some) for size, some in costs.items()}
    show("growth: live scan, every value opened, without its start", _rows(costs, peaks, MEMORY_LIMIT))


def _in_turns(commands: Mapping[int, Command], pairs: int) -> dict[int, tuple[Cost, ...]]:
    """What each size costs without its start, by the value."""
    costs = in_turns({str(size): command for size, command in commands.items()}, pairs)
    return {
        size: tuple(replace(cost, seconds=cost.seconds / size) for cost in without_start(costs[str(size)]))
        for size in commands
    }


def _rows(costs: Mapping[int, tuple[Cost, ...]], peaks: Mapping[int, float], limit: float | None) -> list[Row]:
    """The first size is what the others are compared with."""
    few, *others = costs
    return [
        Row(
            f"{many} values, {seconds(costs[many]) * 1e6:.2f} µs each",
            f"{few}, {seconds(costs[few]) * 1e6:.2f} µs",
            ratios(costs[many], costs[few]),
            None,
            peaks[many],
            peaks[few],
            limit,
        )
        for many in others
    ]


def _repeat(size: int) -> int:
    """How often one process does it, so that what is small takes long enough to be timed."""
    return max(1, min(_MOST_REPEATS, _WORTH_TIMING // size))


def _prefix(size: int) -> str:
    return f"/of-{size}"
