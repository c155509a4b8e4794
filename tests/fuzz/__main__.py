"""Fuzz what reads a user's files: `python -m tests.fuzz [--seconds N] [--seed S] [--workers N] [INPUT…]`.

Exit 1, naming the folder with the inputs, when one of them made keyctl crash, hang, or say a part of a key. With
INPUT only these are tried.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.fuzz.findings import Mistake, Target, try_out
from tests.fuzz.seeds import SEEDS
from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import Slot, Task, save, work

_REPORT_EVERY = 10.0


@dataclass(frozen=True, slots=True)
class Limits:
    """For one input: seconds of the processor, and of the clock for one that waits instead of working."""

    processor: float = 5.0
    clock: float = 120.0


_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class _Worker:
    number: int
    restarts: int
    slot: Slot
    process: BaseProcess


class _Fuzzing:
    """The workers of one run. What a worker has found when it dies is in the folder already."""

    def __init__(self, task: Task, slots: Path, workers: int, limits: Limits) -> None:
        self._task, self._slots, self._limits = task, slots, limits
        self._tried = 0
        # Not forked: the parent may have threads.
        self._context = multiprocessing.get_context("spawn")
        self._workers = [self._start(number) for number in range(workers)]

    def run(self, seconds: float) -> int:
        """Fuzz for that long; returns the number of inputs tried."""
        begun = told = time.monotonic()
        try:
            while (now := time.monotonic()) - begun < seconds:
                time.sleep(0.1)
                for index, worker in enumerate(self._workers):
                    if (mistake := self._death(worker)) is not None:
                        save(self._task.folder, mistake, worker.slot.look()[3])
                        self._tried += worker.slot.look()[0]
                        self._workers[index] = self._start(worker.number, worker.restarts + 1)
                if now - told >= _REPORT_EVERY:
                    told = now
                    _say(self._progress(now - begun))
        finally:
            for worker in self._workers:
                worker.process.kill()
                worker.process.join()
        _say(self._progress(time.monotonic() - begun))
        return self._total()

    def _start(self, number: int, restarts: int = 0) -> _Worker:
        path = self._slots / f"{number}.{restarts}"
        # Not the same chance again: it would lead to the same input.
        task = replace(self._task, slot=path, seed=f"{self._task.seed}.{number}.{restarts}")
        slot = Slot(path)
        process = self._context.Process(target=work, args=(task,), daemon=True)
        process.start()
        return _Worker(number, restarts, slot, process)

    def _death(self, worker: _Worker) -> Mistake | None:
        code = worker.process.exitcode
        if code is None:
            since = worker.slot.look()[2]
            if not since or time.monotonic() - since < self._limits.clock:
                return None
            worker.process.kill()
            worker.process.join()
            return Mistake("hang clock", f"no end after {self._limits.clock} s")
        if code == -signal.SIGPROF:
            return Mistake("hang", f"more than {self._limits.processor} s of processor time")
        return Mistake(f"death {code}", f"the process ended with {code}")

    def _total(self) -> int:
        return self._tried + sum(worker.slot.look()[0] for worker in self._workers)

    def _progress(self, elapsed: float) -> str:
        kept, total = sum(worker.slot.look()[1] for worker in self._workers), self._total()
        rate = f"{total} inputs, {total / elapsed:.0f} a second"
        return f"{elapsed:.0f} s: {rate}, {kept} kept, {_count(self._task.folder)} mistakes"


def fuzz(
    seconds: float,
    *,
    seed: int,
    workers: int,
    seeds: Sequence[bytes] = SEEDS,
    targets: Sequence[Target] = TARGETS,
    limits: Limits = _LIMITS,
) -> int:
    """Returns the exit code."""
    folder = Path(tempfile.mkdtemp(prefix="keyctl-fuzz-"))
    _say(f"seed {seed}, {workers} workers, {len(seeds)} inputs to start from")
    with tempfile.TemporaryDirectory(prefix="keyctl-fuzz-") as slots:
        task = Task(Path(slots), folder, str(seed), seeds, targets, limits.processor)
        tried = _Fuzzing(task, Path(slots), workers, limits).run(seconds)
    found = sorted(folder.glob("*.txt"))
    for file in found:
        _say(f"{file.with_suffix('.input')}: {file.read_text().splitlines()[0]}")
    _say(f"{tried} inputs in {seconds:.0f} s: {len(found)} mistakes found")
    if not found:
        folder.rmdir()
    # Nothing tried is nothing known.
    return 1 if found or not tried else 0


def replay(files: Sequence[Path], targets: Sequence[Target] = TARGETS) -> int:
    """Try the inputs in `files` once more, here; returns the exit code."""
    found = 0
    for file in files:
        for target in targets:
            outcome, mistake = try_out(target, file.read_bytes())
            _say(f"{file}: {outcome if mistake is None else mistake.told}")
            found += mistake is not None
    return 1 if found else 0


def _count(folder: Path) -> int:
    return sum(1 for _ in folder.glob("*.txt"))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """Read the arguments and run; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=float, default=600, help="how long (default: 600)")
    parser.add_argument("--seed", type=int, default=None, help="for the same inputs again (default: another each time)")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="how many processes (default: one a core)"
    )
    parser.add_argument("inputs", nargs="*", type=Path, metavar="INPUT", help="only try these files")
    options = parser.parse_args(arguments)
    if options.inputs:
        return replay(options.inputs)
    seed = int.from_bytes(os.urandom(4)) if options.seed is None else options.seed
    return fuzz(options.seconds, seed=seed, workers=options.workers)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
