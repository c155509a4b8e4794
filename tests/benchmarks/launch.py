"""Run one command and say what it cost: a script, by path, with nothing but the standard library.

Small on purpose: Linux counts what a process held before it became the command
to the command's peak, so one that was started by a big process would look big.
`launch.py WORD…` prints {"exit", "seconds", "peak_bytes"}; the command's own
output is thrown away, its standard error passed on.
"""

from __future__ import annotations

import json
import os
import sys
import time


def main(*command: str) -> None:
    """Start `command`, wait for it and for all it started, print what it cost."""
    nowhere = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    begun = time.perf_counter()
    process = os.posix_spawn(command[0], command, os.environ, file_actions=nowhere)
    _, status, usage = os.wait4(process, 0)
    seconds = time.perf_counter() - begun
    # NOTE: Linux counts in KiB; a process's peak is the largest of its own and those it waited for.
    cost = {"exit": os.waitstatus_to_exitcode(status), "seconds": seconds, "peak_bytes": usage.ru_maxrss * 1024}
    sys.stdout.write(json.dumps(cost))


if __name__ == "__main__":
    main(*sys.argv[1:])
