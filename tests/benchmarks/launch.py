"""Run one command and say what it cost: a script, by path, with nothing but the standard library.

Small on purpose: Linux counts what a process held before it became the command
to the command's peak, so one that was started by a big process would look big.
`launch.py [--family] WORD…` prints {"exit", "seconds", "peak_bytes"}; the
command's own output is thrown away, its standard error passed on. The peak is
that of the largest process; with `--family` it is that of the command and its
children together, looked at again and again, which costs time.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_FAMILY = "--family"
_PAUSE = 0.005


def main(*arguments: str) -> None:
    """Start the command, wait for it and for all it started, print what it cost."""
    together = arguments[0] == _FAMILY
    command = arguments[together:]
    nowhere = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    begun = time.perf_counter()
    process = os.posix_spawn(command[0], command, os.environ, file_actions=nowhere)
    seen = _watch(process) if together else 0
    _, status, usage = os.wait4(process, 0)
    seconds = time.perf_counter() - begun
    # NOTE: Linux counts in KiB; a process's peak is the largest of its own and those it waited for.
    peak = max(seen, usage.ru_maxrss)
    cost = {"exit": os.waitstatus_to_exitcode(status), "seconds": seconds, "peak_bytes": peak * 1024}
    sys.stdout.write(json.dumps(cost))


def _watch(process: int) -> int:
    """The most KiB that `process` and its descendants were seen to hold together, until it ends."""
    most = 0
    while os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        # NOTE: what a child still shares with its parent is in the parent's figure and is not counted twice.
        children = sum(_held(child, "Private_Clean:", "Private_Dirty:") for child in _descendants(process))
        most = max(most, _held(process, "Rss:") + children)
        time.sleep(_PAUSE)
    return most


def _descendants(process: int) -> Iterator[int]:
    # A process may end while it is being looked at.
    with contextlib.suppress(OSError):
        for children in Path(f"/proc/{process}/task").glob("*/children"):
            for child in map(int, children.read_text().split()):
                yield child
                yield from _descendants(child)


def _held(process: int, *kinds: str) -> int:
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith(kinds))
    return 0


if __name__ == "__main__":
    main(*sys.argv[1:])
