"""A shell on a terminal of its own, into which a test types, the tabulator key too."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

# Generous: machines are slow, and a test waits only until it sees what it waits for.
_PATIENCE = 60.0
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\x1b\][^\x07]*\x07|[\x00-\x08\x0d-\x1f]")
PROMPT = "ready> "


class TypingShell:
    """What was typed and what was shown since the last `type`."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._shown = ""

    def type(self, keys: str, until: str) -> str:
        """Type `keys` and wait until `until` is shown; returns what was shown since. Raises `TimeoutError`."""
        self._shown = ""
        os.write(self._terminal, keys.encode())
        return self.wait(until)

    def wait(self, until: str) -> str:
        """Wait until `until` is shown."""
        deadline = time.monotonic() + _PATIENCE
        while until not in self._shown:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._terminal], [], [], left)[0]:
                raise TimeoutError(f"{until!r} was not shown, but {self._shown!r}")
            self._shown += _CONTROL.sub("", os.read(self._terminal, 65536).decode(errors="replace"))
        return self._shown


@contextmanager
def typing_shell(
    command: Sequence[str | Path], *, environment: Mapping[str, str], directory: Path
) -> Iterator[TypingShell]:
    """`command` on a new terminal, in `directory`; it is ended with the block."""
    ours, theirs = pty.openpty()
    try:
        shell = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=directory,
            env=dict(environment),
            start_new_session=True,
        )
    finally:
        os.close(theirs)
    try:
        yield TypingShell(ours)
    finally:
        shell.kill()
        shell.wait()
        os.close(ours)
