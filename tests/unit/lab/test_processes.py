from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from keyctl.errors import UnreachableError
from keyctl.lab import processes
from keyctl.lab.launch import start_mark
from keyctl.lab.processes import ProcessId, Program

SLEEP = ("/bin/sleep", "60")


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(command=SLEEP, record=tmp_path / "sleep.json", log=tmp_path / "log")


@pytest.fixture
def sleeping(program: Program) -> Iterator[ProcessId]:
    process = processes.start(program)
    yield process
    processes.stop(process)


def wait_for(text: str, log: Path) -> str:
    deadline = time.monotonic() + 10
    while text not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.01)
    return log.read_text()


def test_a_started_process_is_recorded_by_pid_and_start(program: Program, sleeping: ProcessId) -> None:
    assert ProcessId.read(program.record) == sleeping
    assert sleeping.alive()
    assert sleeping.started == start_mark(sleeping.pid)
    assert 0 <= sleeping.uptime() < 60


def test_it_has_a_session_of_its_own_so_that_it_goes_on_without_us(sleeping: ProcessId) -> None:
    assert os.getsid(sleeping.pid) == sleeping.pid


def test_stop_ends_it(sleeping: ProcessId) -> None:
    processes.stop(sleeping)
    assert not sleeping.alive()


def test_a_recycled_pid_is_not_alive_and_never_signalled(sleeping: ProcessId) -> None:
    earlier = replace(sleeping, started="an earlier start")
    processes.stop(earlier)
    assert not earlier.alive()
    assert sleeping.alive()


def test_a_process_that_ended_and_was_not_collected_is_not_alive() -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as child:
        process = ProcessId(child.pid, start_mark(child.pid) or "")
        assert process.alive()
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not process.alive()


def test_a_process_that_ignores_the_polite_signal_is_killed(program: Program) -> None:
    deaf = replace(program, command=("/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"))
    process = processes.start(deaf)
    wait_for("ready", deaf.log)
    processes.stop(process, grace=0.2)
    assert not process.alive()


def test_a_process_has_time_to_end_by_itself(program: Program) -> None:
    polite = replace(program, command=("/bin/sh", "-c", "trap 'echo bye; exit' TERM; echo ready; sleep 60 & wait"))
    process = processes.start(polite)
    wait_for("ready", polite.log)
    processes.stop(process, grace=10)
    assert "bye" in polite.log.read_text()


def test_our_environment_does_not_reach_it(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETCD_NAME", "mine")
    monkeypatch.setenv("HTTPS_PROXY", "http://192.0.2.1")
    printing = replace(program, command=("/usr/bin/env",))
    processes.start(printing)
    names = {line.partition("=")[0] for line in wait_for("LANG", printing.log).splitlines()}
    assert names <= {"PATH", "HOME", "LANG", "LC_CTYPE", "PWD"}


def test_its_log_is_readable_by_its_owner_only_and_kept_over_starts(program: Program) -> None:
    for _ in range(2):
        printing = replace(program, command=("/bin/echo", "one start"))
        processes.start(printing)
    assert wait_for("one start\none start", program.log).count("one start") == 2
    assert program.log.stat().st_mode & 0o777 == 0o600


def test_nothing_starts_where_nothing_can_be_recorded(program: Program, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    lost = replace(program, command=("/bin/touch", str(touched)), record=tmp_path / "moved away" / "x.json")
    with pytest.raises(UnreachableError, match="touch could not be started"):
        processes.start(lost)
    assert not touched.exists()


def test_a_process_may_have_a_host_name_of_its_own(program: Program) -> None:
    namespace = processes.own_hostname_command()
    if not namespace:
        pytest.skip("unshare --uts is not permitted here")
    command = (sys.executable, "-c", "import socket; print(socket.gethostname())")
    processes.start(replace(program, command=command, namespace=namespace, hostname="cp1.here"))
    assert "cp1.here" in wait_for("cp1.here", program.log)
    assert os.uname().nodename != "cp1.here"


def test_where_unshare_is_not_there_servers_share_the_hosts_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert processes.own_hostname_command() == ()
