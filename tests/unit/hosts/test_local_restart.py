from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from keyctl.errors import StoppedError
from keyctl.hosts.local import LocalHost


def _restart(*command: str, wait: float = 30.0) -> None:
    LocalHost("cp1", restart_command=command, restart_wait=wait).restart()


def test_the_restart_command_runs_without_a_shell(tmp_path: Path) -> None:
    place = tmp_path / "a b; $HOME"
    _restart(sys.executable, "-c", "import sys, pathlib; pathlib.Path(sys.argv[1]).touch()", str(place))
    assert place.exists()


def test_a_failed_restart_tells_its_status_and_not_its_output(capfd: pytest.CaptureFixture[str]) -> None:
    script = "import sys; print('AAECAwQF'); print('AAECAwQF', file=sys.stderr); sys.exit(7)"
    with pytest.raises(StoppedError) as caught:
        _restart(sys.executable, "-c", script)
    assert "exit status 7" in str(caught.value.cause)
    assert "AAECAwQF" not in f"{caught.value!r} {caught.value.cause} {caught.value.hints}"
    assert capfd.readouterr() == ("", "")


def test_a_restart_command_that_ctrl_c_ended_is_an_interruption() -> None:
    with pytest.raises(KeyboardInterrupt):
        _restart("/bin/sh", "-c", "kill -INT $$")


def test_a_restart_command_that_does_not_exist_is_named() -> None:
    with pytest.raises(StoppedError) as caught:
        _restart("/nonexistent/restart-it")
    assert "/nonexistent/restart-it: No such file or directory" in str(caught.value.cause)


def test_a_restart_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys, pathlib, time;"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "pathlib.Path(sys.argv[1]).write_text(str(child.pid)); time.sleep(60)"
    )
    note = tmp_path / "pid"
    started = time.monotonic()
    with pytest.raises(StoppedError) as caught:
        _restart(sys.executable, "-c", script, str(note), wait=1.5)
    assert time.monotonic() - started < 20
    assert "did not end within 1.5 s" in str(caught.value.cause)
    _wait_until_gone(int(note.read_text()))


def _wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        listed = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
        if not listed or listed.startswith("Z"):
            return
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    raise AssertionError("the child of the restart command outlived it")


def test_a_restart_command_gets_no_input(tmp_path: Path) -> None:
    _restart(sys.executable, "-c", "import sys; sys.exit(len(sys.stdin.read()))")
