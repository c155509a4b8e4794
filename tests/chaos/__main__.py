"""A long run of rotations among disruptions: `python -m tests.chaos [--rotations N] [--minutes M] [--seed S]`.

One line for each rotation, at the end a table for docs/chaos.md. Exit 1 as soon as a rotation ended in any other way
than keyctl said, or anything was lost, changed, unreadable or stored under another key. The seed decides what is done
and in which order, not at which instruction of a server it strikes.
"""

from __future__ import annotations

import argparse
import platform
import random
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import keyctl
from keyctl.lab.build import version_of
from tests.chaos.course import Course, Outcome
from tests.chaos.disruptions import Kind
from tests.museum.site import site
from tests.support.binaries import binary

_INTERRUPTED = 130


def main() -> int:
    asked = _asked()
    # NOTE: however it is ended, no server is left behind; a shell's background jobs do not know Ctrl-C.
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.default_int_handler)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="keyctl-chaos-") as folder, site(Path(folder)) as place:
        enabled = place.seeded.keyctl("enable", "--yes")
        if enabled.code != 0:
            _say(enabled.stderr)
            return 1
        course = Course(place, random.Random(asked.seed))  # noqa: S311 — which accident comes next, not a key
        _say(f"seed {asked.seed}")
        interrupted = _run(course, asked, began)
        for line in _table(course, asked.seed, time.monotonic() - began):
            _say(line)
    if any(outcome.problems for outcome in course.outcomes):
        return 1
    return _INTERRUPTED if interrupted else 0


def _run(course: Course, asked: argparse.Namespace, began: float) -> bool:
    """Rotate until it is enough or something is wrong; True where it was interrupted."""
    try:
        while _goes_on(asked, len(course.outcomes), time.monotonic() - began):
            outcome = course.rotate()
            _say(_line(len(course.outcomes), outcome))
            if outcome.problems:
                break
    except KeyboardInterrupt:
        _say("interrupted: the rotation that was under way is not judged")
        return True
    return False


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Rotations among disruptions.")
    parser.add_argument("--rotations", type=int, default=None, help="how many; default: as many as the time allows")
    parser.add_argument("--minutes", type=float, default=30, help="when no other rotation is begun; default: 30")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="default: one by chance")
    return parser.parse_args()


def _goes_on(asked: argparse.Namespace, rotations: int, seconds: float) -> bool:
    return seconds < 60 * asked.minutes and (asked.rotations is None or rotations < asked.rotations)


def _line(number: int, outcome: Outcome) -> str:
    codes = " ".join(map(str, outcome.codes))
    words = f"rotation {number}: {outcome.provider}, {outcome.seconds:.0f} s, {outcome.disruptions} disruptions"
    words += f", {outcome.changes} changes, {outcome.reads} reads, exit codes {codes}: "
    return words + ("all is well" if not outcome.problems else "\n  " + "\n  ".join(outcome.problems))


def _table(course: Course, seed: int, seconds: float) -> Iterator[str]:
    outcomes = course.outcomes
    yield "\n| what | how much |\n|---|---|"
    for name, value in (
        ("date", f"{datetime.now(UTC):%Y-%m-%d}"),
        ("versions", _versions()),
        ("seed", seed),
        ("minutes", f"{seconds / 60:.0f}"),
        ("rotations", f"{len(outcomes)} ({_providers(outcomes)})"),
        *((kind.value, course.done[kind]) for kind in Kind),
        ("disruptions in all", course.done.total()),
        ("changes acknowledged", _sum(outcome.changes for outcome in outcomes)),
        ("changes without an answer", _sum(outcome.uncertain for outcome in outcomes)),
        ("reads, all right", _sum(outcome.reads for outcome in outcomes)),
        ("faults", _sum(outcome.faults for outcome in outcomes)),
        ("lost", _sum(outcome.lost for outcome in outcomes)),
        ("anything else wrong", sum(len(one.problems) - one.faults - one.lost for one in outcomes)),
        ("exit codes", ", ".join(f"{code}: {times}" for code, times in sorted(course.codes.items()))),
        ("resumes", course.resumes),
    ):
        yield f"| {name} | {value} |"


def _versions() -> str:
    servers = (f"{name} {_version(name)}" for name in ("kube-apiserver", "etcd"))
    return ", ".join((f"keyctl {keyctl.__version__}", *servers, f"Python {platform.python_version()}"))


def _version(name: str) -> str:
    return ".".join(map(str, version_of(binary(name), name) or ("unknown",)))


def _providers(outcomes: list[Outcome]) -> str:
    to = [outcome.provider for outcome in outcomes]
    return ", ".join(f"to {provider}: {to.count(provider)}" for provider in sorted(set(to)))


def _sum(numbers: Iterator[int]) -> str:
    return f"{sum(numbers):,}"


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
