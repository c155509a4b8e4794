"""A user at a shell: runs keyctl in a folder of their own, on a pipe or a terminal, and keeps all that it says."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import transcripts
from tests.support.seeded import Answered

_ROOT = Path(__file__).parents[2]
_OTHERS = ("ETCDCTL_", "KEYCTL_", "KUBE", "XDG_", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "COLUMNS", "TERM")
_PATIENCE = 180.0


@dataclass
class Shell:
    """`variables` come on top of an environment without any that keyctl reads; `said` is every output so far."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """The whole environment; keyctl's state goes below the folder."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OTHERS)}
        # NOTE: what is in the path already notes the keys of every child of a run of tests.
        modules = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
        own = {"HOME": str(self.folder), "XDG_STATE_HOME": str(self.state), "PYTHONPATH": modules, "LANG": "C.UTF-8"}
        return kept | own | self.variables

    @property
    def state(self) -> Path:
        """Where journal and snapshots go."""
        return self.folder / "state"

    def keyctl(self, *arguments: str | Path, **variables: str) -> Answered:
        """Run keyctl to its end, with nobody at stdin."""
        ran = subprocess.run(
            _command(arguments),
            cwd=self.folder,
            env=self.environment | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE,
        )
        self.said += [ran.stdout, ran.stderr]
        return Answered(ran.returncode, ran.stdout, ran.stderr)

    def on_a_terminal(self, *arguments: str | Path, **variables: str) -> Answered:
        """The same with stdout, stderr and stdin on one terminal; all output is in `stdout`."""
        with self._terminal(arguments, variables) as running:
            return running.end()

    @contextlib.contextmanager
    def running(self, *arguments: str | Path) -> Iterator[Running]:
        """Run keyctl in the background, as the foreground group of a shell; its stderr can be waited for."""
        read_end, write_end = os.pipe()
        with self._group(arguments, {}, subprocess.DEVNULL, write_end, read_end) as running:
            yield running

    @contextlib.contextmanager
    def asked(self, *arguments: str | Path) -> Iterator[Running]:
        """Run keyctl on a terminal that nobody has typed on yet."""
        with self._terminal(arguments, {}) as running:
            yield running

    def _terminal(
        self, arguments: tuple[str | Path, ...], variables: dict[str, str]
    ) -> contextlib.AbstractContextManager[Running]:
        ours, theirs = pty.openpty()
        return self._group(arguments, {"TERM": "xterm"} | variables, theirs, theirs, ours)

    @contextlib.contextmanager
    def _group(
        self, arguments: tuple[str | Path, ...], variables: dict[str, str], stdin: int, output: int, read_end: int
    ) -> Iterator[Running]:
        process = subprocess.Popen(
            _command(arguments),
            cwd=self.folder,
            env=self.environment | variables,
            stdin=stdin,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        os.close(output)
        running = Running(process, read_end)
        try:
            yield running
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            running.close()
            self.said.append(running.seen)
            transcripts.note(f"keyctl {' '.join(map(str, arguments))}", running.seen)


class Running:
    """A keyctl that has not ended yet, leader of a process group of its own."""

    def __init__(self, process: subprocess.Popen[bytes], output: int) -> None:
        self._process, self._output = process, output
        self._chunks: list[bytes] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def seen(self) -> str:
        """What it has said so far."""
        return b"".join(self._chunks).decode(errors="replace")

    def wait_for(self, text: str) -> None:
        """Return once `text` was said."""
        deadline = time.monotonic() + _PATIENCE
        while text not in self.seen:
            assert self._process.poll() is None or text in self.seen, f"ended before {text!r}:\n{self.seen}"
            assert time.monotonic() < deadline, f"no {text!r} in:\n{self.seen}"
            time.sleep(0.01)

    def type(self, text: str) -> None:
        """Type on its terminal. It is not a controlling one: for Ctrl-C see `interrupt`."""
        os.write(self._output, text.encode())

    def interrupt(self) -> None:
        """What Ctrl-C does: a signal to the whole foreground group, as a terminal sends it."""
        os.killpg(self._process.pid, signal.SIGINT)

    def end(self) -> Answered:
        """Wait for its end."""
        code = self._process.wait(_PATIENCE)
        self._reader.join(_PATIENCE)
        return Answered(code, self.seen, self.seen)

    def close(self) -> None:
        """Stop reading. What it started and left behind may hold the other end open, so nobody waits for that."""
        self._reader.join(1.0)
        os.close(self._output)

    def _read(self) -> None:
        # NOTE: a terminal whose other end is closed answers with an error, a pipe with nothing.
        with contextlib.suppress(OSError):
            while chunk := os.read(self._output, 65536):
                self._chunks.append(chunk)


def _command(arguments: tuple[str | Path, ...]) -> list[str]:
    return [sys.executable, "-m", "keyctl", *map(str, arguments)]
