"""Take each guard away in a copy, and see its test turn red there: `python -m tests.mutants [--only RULE] [--jobs N]`.

A line for each guard: "red" with what the test said, "STILL GREEN", or "BROKEN"
when the test did not come to a verdict about the guard. Exit 1 unless all are red.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.mutant import Mutant
from tests.mutants.table import MUTANTS

ROOT = Path(__file__).parents[2]
TREES = ("keyctl", "tests")
# In seconds: for one test without its guard, and for all tests with all guards.
LIMIT, LIMIT_OF_ALL = 120, 900
PASSED, FAILED = 0, 1
# What a test says of a program that was cut badly, and not of one without a guard.
_NO_VERDICT = re.compile(r"^(NameError|UnboundLocalError|ImportError|ModuleNotFoundError|SyntaxError|IndentationError)")
# Collected by every run in a copy: it is the copy that is tested.
_CONFTEST = """\
from pathlib import Path

import keyctl
import tests

HERE = Path(__file__).resolve().parent
for package in (keyctl, tests):
    if not Path(package.__path__[0]).resolve().is_relative_to(HERE):
        raise RuntimeError(f"{package.__name__} is not the copy: {package.__path__[0]}")
"""


@dataclass(frozen=True, slots=True)
class Run:
    """How pytest ended, None when it did not in time, and the last of what it said."""

    exit_code: int | None
    said: str

    @property
    def reason(self) -> str:
        """What the first test that failed said, in a line; empty where none did."""
        found = re.search(r"^(?:FAILED|ERROR) .*? - (\w+(?:Error|Exception|Failed)?: .*)$", self.said, re.MULTILINE)
        return found[1] if found else ""

    @property
    def verdict(self) -> str:
        """red, STILL GREEN or BROKEN."""
        if self.exit_code == PASSED:
            return "STILL GREEN"
        red = self.exit_code == FAILED and "FAILED " in self.said and not _NO_VERDICT.match(self.reason)
        return "red" if red else "BROKEN"


def copy_tree(source: Path, target: Path) -> Path:
    """The parts of `source` that a test needs, in `target`, with their times: compiled files stay good."""
    target.mkdir()
    for tree in TREES:
        shutil.copytree(source / tree, target / tree)
    shutil.copy2(source / "pyproject.toml", target / "pyproject.toml")
    (target / "conftest.py").write_text(_CONFTEST)
    return target


def apply(mutant: Mutant, root: Path) -> None:
    """Take the guard away in the tree at `root`."""
    path = root / mutant.file
    path.write_text(mutant.apply(path.read_text(encoding="utf-8")), encoding="utf-8")
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        compiled.unlink()


def run(root: Path, tests: Iterable[str], *options: str, limit: int) -> Run:
    """pytest on the tree at `root`, and on nothing else; for `limit` seconds at most."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *options]
    try:
        done = subprocess.run(
            [*command, f"--basetemp={root / 'tmp'}", *tests],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root), "COLUMNS": "300"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Run(None, f"no end within {limit} s")
    return Run(done.returncode, done.stdout)


def try_out(mutant: Mutant, snapshot: Path) -> Run:
    """Run the mutant's test on a copy of `snapshot` without the guard."""
    with tempfile.TemporaryDirectory(prefix="keyctl-mutant-") as directory:
        root = copy_tree(snapshot, Path(directory) / "copy")
        apply(mutant, root)
        return run(root, [mutant.test], "-x", limit=LIMIT)


def main(arguments: list[str]) -> int:
    """Run all of them, or those of one rule; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("--only", metavar="RULE", help="the mutants of one rule, such as R3")
    parser.add_argument("--jobs", metavar="N", type=int, default=2, help="how many at a time (default: 2)")
    options = parser.parse_args(arguments)
    mutants = [mutant for mutant in MUTANTS if options.only in (None, mutant.rule)]
    if not mutants:
        parser.error(f"no mutant of rule {options.only}")
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="keyctl-mutants-") as directory:
        snapshot = copy_tree(ROOT, Path(directory) / "snapshot")
        whole = run(snapshot, dict.fromkeys(mutant.test for mutant in mutants), limit=LIMIT_OF_ALL)
        if whole.exit_code != PASSED:
            _say(f"{whole.said}\nthese tests must be green while every guard is there")
            return 1
        shutil.rmtree(snapshot / "tmp", ignore_errors=True)
        verdicts = _each(mutants, snapshot, options.jobs)
    total = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
    _say(f"{len(mutants)} guards removed in {time.monotonic() - begun:.0f} s: {total}")
    return 0 if set(verdicts) == {"red"} else 1


def _each(mutants: list[Mutant], snapshot: Path, jobs: int) -> Counter[str]:
    verdicts: Counter[str] = Counter()
    with ThreadPoolExecutor(jobs) as pool:
        runs = pool.map(lambda mutant: try_out(mutant, snapshot), mutants)
        for mutant, done in zip(mutants, runs, strict=True):
            verdicts[done.verdict] += 1
            _say(f"{done.verdict}: {mutant.rule} without {mutant.guard}: {mutant.test} {done.reason[:120]}")
            if done.verdict == "BROKEN":
                _say(done.said[-2000:])
    return verdicts


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
