"""keyctl as a process that runs one command twice and times the second run: what it costs without the start.

`python -m tests.benchmarks.inside REPEAT FIRST SECOND ARGUMENT…`: each run has the
ARGUMENTs and `--etcd-prefix FIRST` or `SECOND`. The mean of REPEAT second runs is
the last line of standard error.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

from keyctl.cli import main


def run(repeat: int, first: str, second: str, arguments: list[str]) -> int:
    """Run both, print the time, and return the exit code of the second."""
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        main.run([*arguments, "--etcd-prefix", first])
        begun = time.perf_counter()
        codes = {main.run([*arguments, "--etcd-prefix", second]) for _ in range(repeat)}
        elapsed = time.perf_counter() - begun
    sys.stderr.write(f"{elapsed / repeat}\n")
    return max(codes)


if __name__ == "__main__":
    sys.exit(run(int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]))
