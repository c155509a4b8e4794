"""`keyctl agent` as processes of their own, started, held, killed and asked to end by their ids."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_PATIENCE = 60.0


class RunningAgent:
    """The agent of `server` by the cluster file `cluster`; what it says goes to a file below `folder`."""

    def __init__(self, folder: Path, cluster: Path, server: str, *, variables: dict[str, str]) -> None:
        self._command = [sys.executable, "-m", "keyctl", "agent", "--cluster", str(cluster), "--server", server]
        self._command += ["--interval", "1s"]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("BAO_", "VAULT_", "KEYCTL_"))}
        self._environment = kept | {"HOME": str(folder), "PYTHONPATH": str(_ROOT)} | variables
        self._folder = folder
        self._log = folder / f"agent-{server}.log"
        self._log.touch()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def said(self) -> str:
        """All that it has said, over all its lives."""
        return self._log.read_text()

    def start(self) -> RunningAgent:
        """Start it, or start it anew."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def wait_for(self, text: str, *, times: int = 1) -> None:
        """Return once it has said `text` so often."""
        deadline = time.monotonic() + _PATIENCE
        while self.said.count(text) < times:
            assert self._process is not None
            assert self._process.poll() is None, f"it ended before {text!r}:\n{self.said}"
            assert time.monotonic() < deadline, f"no {text!r} in:\n{self.said}"
            time.sleep(0.05)

    def hold(self) -> None:
        """SIGSTOP, until `go_on`."""
        self._send(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        self._send(signal.SIGCONT)

    def end(self) -> int:
        """SIGTERM; returns its exit code."""
        self._send(signal.SIGTERM)
        assert self._process is not None
        return self._process.wait(_PATIENCE)

    def kill(self) -> None:
        """SIGKILL; nothing happens to one that is not there."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_PATIENCE)

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
