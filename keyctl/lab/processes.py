"""Start, recognise and stop processes by pid and start time, never by name.

A record file per process says who it is; a pid that now belongs to somebody
else counts as gone and is never signalled.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from keyctl.errors import UnreachableError
from keyctl.lab.launch import start_mark

LAUNCHER = Path(__file__).with_name("launch.py")
_START_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process for as long as it lives: its pid, and the mark of its start (see `launch.start_mark`)."""

    pid: int
    started: str

    @classmethod
    def current(cls) -> ProcessId:
        """This process."""
        mark = start_mark(os.getpid())
        if mark is None:
            raise RuntimeError("this process is not in /proc")
        return cls(os.getpid(), mark)

    @classmethod
    def read(cls, record: Path) -> ProcessId | None:
        """The process that `record` names, alive or not; None without a record."""
        try:
            return cls(**json.loads(record.read_text()))
        except FileNotFoundError:
            return None

    def alive(self) -> bool:
        """Whether this very process, not another of the same pid, still runs."""
        return start_mark(self.pid) == self.started

    def uptime(self) -> float:
        """Seconds since its start."""
        ticks = int(self.started.rpartition(":")[2])
        return float(Path("/proc/uptime").read_text().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")

    def as_document(self) -> dict[str, int | str]:
        """A form for JSON that `ProcessId(**document)` reads."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Program:
    """What to start: a command whose first word is a path, where it logs, where it is recorded.

    `namespace` is the command that gives it a host name of its own (`own_hostname_command`), or empty; with it
    goes `hostname`.
    """

    command: tuple[str, ...]
    record: Path
    log: Path
    namespace: tuple[str, ...] = ()
    hostname: str = ""


def own_hostname_command() -> tuple[str, ...]:
    """The `unshare` command that lets a process have its own host name here, tried out; () where none may."""
    attempt = ("import socket; socket.sethostname('attempt')",)
    for prefix in (("unshare", "--uts"), ("unshare", "--user", "--map-root-user", "--uts")):
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run(  # noqa: S603 - a fixed command
                [*prefix, sys.executable, "-I", "-S", "-c", *attempt], capture_output=True, check=True, timeout=30
            )
            return prefix
    return ()


def start(program: Program) -> ProcessId:
    """Start a program in a session of its own, apart from our environment, and return who it is.

    Raises `UnreachableError` when it does not even get as far as its own command.
    """
    program.record.unlink(missing_ok=True)
    launcher = (sys.executable, "-I", "-S", str(LAUNCHER), str(program.record), program.hostname, *program.command)
    arguments = (*program.namespace, *launcher)
    # NOTE: etcd and Go programs take settings and proxies from the environment; the user's are not meant for them.
    environment = {"PATH": os.defpath, "HOME": str(program.log.parent), "LANG": "C.UTF-8"}
    log = os.open(program.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        pid = os.posix_spawnp(  # NOTE: not Popen, which warns about a child that is meant to outlive us
            arguments[0],
            arguments,
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, log, 1),
                (os.POSIX_SPAWN_DUP2, log, 2),
            ],
            setsid=True,
        )
    finally:
        os.close(log)
    return _recorded(program, pid)


def stop(process: ProcessId, *, grace: float = 0.0, patience: float = 10.0) -> None:
    """End a process: SIGTERM and `grace` seconds, or at once SIGKILL; return when it is gone.

    Does nothing to a pid that is somebody else's by now. Raises `UnreachableError` when it stays.
    """
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        # NOTE: the handle is of whoever has the pid now, and stays so: compare after opening it, then signal it.
        if start_mark(process.pid) != process.started:
            return
        steps = [(signal.SIGTERM, grace), (signal.SIGKILL, patience)] if grace else [(signal.SIGKILL, patience)]
        for sent, seconds in steps:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, sent)
            if select.select([handle], [], [], seconds)[0]:
                _reap(process.pid)
                return
    finally:
        os.close(handle)
    raise UnreachableError(
        f"process {process.pid} does not end", cause="it survived SIGKILL", hint=f"look at it: ps -p {process.pid}"
    )


def _recorded(program: Program, pid: int) -> ProcessId:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        process = ProcessId.read(program.record)
        if process is not None:
            return process
        _reap(pid)
        if start_mark(pid) is None:
            break
        time.sleep(0.005)
    raise UnreachableError(
        f"{Path(program.command[0]).name} could not be started",
        cause=f"its launcher ended or hung; see {program.log}",
        hint=f"look at the log: tail {program.log}",
    )


def _reap(pid: int) -> None:
    # NOTE: it is our child only where this process started it; elsewhere init collects it.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
