"""Notes the command lines and environments of all processes, again and again, in a process of its own.

A thread would do it, too; but a process that has threads behaves otherwise (keyctl forks no helper in one), and has
files open now and then that tests count. `python process_samples.py FILE` goes on until its standard input ends.
"""

from __future__ import annotations

import contextlib
import select
import subprocess
import sys
from pathlib import Path

_SECONDS = 0.5
_PATIENCE = 30


class Samples:
    """What was seen of processes, in `file`, each once."""

    def __init__(self, file: Path) -> None:
        self._file, self._seen = file, set[int]()

    def look(self) -> None:
        """Note what is new."""
        for process in Path("/proc").iterdir():
            if process.name.isdecimal():
                self._note(process)

    def _note(self, process: Path) -> None:
        for name in ("cmdline", "environ"):
            # A process of somebody else, or one that is gone.
            with contextlib.suppress(OSError):
                content = (process / name).read_bytes()
                if hash(content) not in self._seen:
                    self._seen.add(hash(content))
                    with self._file.open("ab") as file:
                        file.write(b"\n== " + str(process / name).encode() + b": " + content)


class Sampler:
    """A process that takes samples into `file` until it is stopped, or this process ends."""

    def __init__(self, file: Path) -> None:
        # A session of its own, for Ctrl-C is meant for the tests.
        self._process = subprocess.Popen(
            [sys.executable, __file__, file], stdin=subprocess.PIPE, start_new_session=True
        )

    def stop(self) -> None:
        """End it. `RuntimeError` when it had ended before, for then nobody has looked."""
        early = self._process.poll()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(_PATIENCE)
        if early is not None:
            raise RuntimeError(f"nobody looked at the processes of this run: exit code {early}")


def _run(file: Path) -> None:
    samples, waiting = Samples(file), True
    while waiting:
        waiting = not select.select([sys.stdin], [], [], _SECONDS)[0]
        samples.look()


if __name__ == "__main__":
    _run(Path(sys.argv[1]))
