"""`make bench`: keyctl beside etcdctl, kubectl and a Go program, in one run, as ratios. See docs/benchmarks.md.

Exits 1 when something did not work; being slow is no failure.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from keyctl.errors import KeyctlError
from tests.benchmarks.growing import growing
from tests.benchmarks.measure import BenchError, Command, in_turns, keyctl, peak, ratios, seconds
from tests.benchmarks.offline import offline
from tests.benchmarks.rewriting import rewriting
from tests.benchmarks.scanning import scan
from tests.benchmarks.table import Row, say, show

_PARTS = ("help", "scan", "offline", "growth", "rewrite")
_SIZES, _QUICK_SIZES, _LARGE = (10_000, 100_000), (1_000, 10_000), 1_000_000
_QUICK = {"values": 20_000, "secrets": 300, "pairs": 2}
_HELP_MILLISECONDS = 150


def main(arguments: Sequence[str]) -> int:
    """Measure, print, and return the exit code."""
    given = _parse(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="keyctl-bench-") as folder:
            _measure(given, Path(folder))
    except BenchError as error:
        return _failed(str(error))
    except KeyctlError as error:
        return _failed("\n".join(str(part) for part in (error, error.cause, *error.hints) if part))
    return 0


def _measure(given: argparse.Namespace, folder: Path) -> None:
    say(f"medians of {given.pairs} runs in turns, after one to warm up")
    say("a ! is beyond its limit; limits are for the default sizes")
    parts = given.parts or _PARTS
    if "help" in parts:
        _help(2 * given.pairs)
    if "scan" in parts:
        scan(folder / "scan", given.values, given.pairs)
    if "offline" in parts:
        offline(folder / "offline", given.values, given.pairs)
    if "growth" in parts:
        sizes = _QUICK_SIZES if given.quick else _SIZES
        growing(folder / "growth", (*sizes, _LARGE) if given.full else sizes, given.pairs)
    if "rewrite" in parts:
        rewriting(folder, given.secrets, given.pairs)


def _help(pairs: int) -> None:
    costs = in_turns({"help": Command(keyctl("--help")), "bare": Command((sys.executable, "-c", "pass"))}, pairs)
    shown, bare = costs["help"], costs["bare"]
    row = Row("keyctl --help", "python -c pass", ratios(shown, bare), None, peak(shown), peak(bare))
    show(f"start: {seconds(shown) * 1000:.0f} ms, limit {_HELP_MILLISECONDS} ms", [row])


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="keyctl beside etcdctl and kubectl")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"only these of: {', '.join(_PARTS)}")
    parser.add_argument("--values", type=_number, help="values to scan, live and in a snapshot (200000)")
    parser.add_argument("--secrets", type=_number, help="Secrets to rewrite (3000)")
    parser.add_argument("--pairs", type=_number, help="how often each command runs (9)")
    parser.add_argument("--quick", action="store_true", help="a small run that shows whether everything works")
    parser.add_argument("--full", action="store_true", help="let it grow to 1000000 values, too; takes 5 GB of disk")
    given = parser.parse_args(arguments)
    if unknown := set(given.parts) - set(_PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; choose from {', '.join(_PARTS)}")
    defaults = _QUICK if given.quick else {"values": 200_000, "secrets": 3_000, "pairs": 9}
    for name, value in defaults.items():
        if getattr(given, name) is None:
            setattr(given, name, value)
    return given


def _number(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _failed(reason: str) -> int:
    sys.stderr.write(f"error: {reason}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
