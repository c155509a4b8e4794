"""A control plane of its own for an accident: its servers can be killed, paused and brought up, keyctl runs beside it.

Processes are known by the lab's own records, never by name.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

from keyctl.lab import flags
from keyctl.lab.kubelet import admin_credentials, start_server
from keyctl.lab.locking import locked
from keyctl.lab.network import Credentials, get
from keyctl.lab.plane import running_lab
from keyctl.lab.processes import ProcessId, Program, start, stop
from keyctl.lab.topology import Member, Settings
from keyctl.rotation.journal import Journal
from keyctl.rotation.plan import State
from tests.museum.load import Load
from tests.support.binaries import binary, servers
from tests.support.hints import wrong_hints
from tests.support.seeded import Answered, Seeded, seed

# Machines are shared and noisy: these end what hangs, and measure nothing.
_PATIENCE = 1500.0
# How often what keyctl says may be followed before it leads nowhere.
MOST_STEPS = 6
_LEADER_SECONDS = 60.0
# Longer than two restarts one after the other.
_READY_SECONDS = 300.0
_POLL = 0.02
_HINT = re.compile(r"keyctl ((?:rotate|enable|disable)\b[^;,]*)")
_AGAIN = ("run this again", "the same command")
# The records that stand for the states before there is a plan.
_EARLY = {"attempt": State.PREFLIGHT, "secured": State.SECURED, "begin": State.GENERATED}
_numbers = itertools.count(1)


class RunningKeyctl:
    """A keyctl that was started on the site, leader of a process group of its own."""

    def __init__(self, arguments: tuple[str, ...], site: Site) -> None:
        self.arguments = arguments
        self._journal = site.journal
        self._begun = len(self._journal.records())
        number = next(_numbers)
        self._out, self._err = (site.directory / f"keyctl-{number}.{stream}" for stream in ("out", "err"))
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "keyctl", *arguments],
                env=site.seeded.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def states(self) -> tuple[State, ...]:
        """Every state that the journal tells since the start, in order."""
        found = (_state_in(record) for record in self._journal.records()[self._begun :])
        return tuple(state for state in found if state is not None)

    def state(self) -> State | None:
        """The last of `states`."""
        states = self.states()
        return states[-1] if states else None

    def wait_for(self, state: State | str) -> None:
        """Return once `state` was reached. Fails when keyctl ends without it."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            ended = self.ended()
            if state in self.states():
                return
            assert not ended, f"it ended without the state {state}: {self.wait()}"
            assert time.monotonic() < deadline, f"the state {state} never came: {self.states()}"
            time.sleep(_POLL)

    def ended(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def wait(self) -> Answered:
        """Wait for its end."""
        code = self._process.wait(_PATIENCE)
        return Answered(code, self._out.read_text(), self._err.read_text())

    def kill(self) -> None:
        """SIGKILL, for the process alone: what it has started goes on."""
        self._process.kill()
        self._process.wait(_PATIENCE)

    def hold(self) -> None:
        """SIGSTOP, until `go_on`."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        self._process.send_signal(signal.SIGCONT)

    def clear(self) -> None:
        """End it with all that it has started, if it still runs."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(_PATIENCE)


@dataclass(frozen=True, slots=True)
class Site:
    """A lab with Secrets in it that is about to have an accident."""

    directory: Path
    seeded: Seeded
    running: list[RunningKeyctl] = field(default_factory=list)

    @property
    def journal(self) -> Journal:
        """The journal of the cluster's rotations."""
        return Journal(self.seeded.state / "keyctl" / self.seeded.lab.topology.settings.name)

    @property
    def apiservers(self) -> tuple[str, ...]:
        """The names of the API servers."""
        return tuple(server.name for server in self.seeded.lab.topology.servers)

    @property
    def members(self) -> tuple[str, ...]:
        """The names of the members of etcd."""
        return tuple(member.name for member in self.seeded.lab.topology.members)

    def start(self, *arguments: str) -> RunningKeyctl:
        """Run keyctl in the background."""
        running = RunningKeyctl(arguments, self)
        self.running.append(running)
        return running

    def pid_of(self, name: str) -> int:
        """The pid of a server or member that runs. `RuntimeError` for one that does not."""
        process = self._alive(name)
        if process is None:
            raise RuntimeError(f"{name} does not run")
        return process.pid

    def runs(self, name: str) -> bool:
        """Whether the server or member has a process, paused or not."""
        return self._alive(name) is not None

    def kill(self, name: str) -> bool:
        """SIGKILL; False where there was no process to kill, for it is being restarted just now."""
        process = self._alive(name)
        if process is not None:
            stop(process)
        return process is not None

    def pause(self, name: str) -> bool:
        """SIGSTOP; False as with `kill`."""
        return self._signal(name, signal.SIGSTOP)

    def unpause(self, name: str) -> bool:
        """SIGCONT; False where the process that was paused is gone, and none in its place."""
        return self._signal(name, signal.SIGCONT)

    def bring_up(self, name: str) -> None:
        """See that a server or member runs, as a supervisor does, and return when it is ready."""
        url, credentials = self._readiness(name)
        context = credentials.context()
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            # NOTE: keyctl restarts servers under the same lock, and may do so with the one started here.
            with locked(self.seeded.lab.layout.root / name, patience=_READY_SECONDS):
                if not self.runs(name):
                    self._launch(name)
            if get(url, context).status == HTTPStatus.OK:
                return
            assert time.monotonic() < deadline, f"{name} does not become ready: see its log in {self.directory}"
            time.sleep(10 * _POLL)

    def leader(self) -> str:
        """The name of the member of etcd that leads, as members that answer tell it."""
        deadline = time.monotonic() + _LEADER_SECONDS
        while time.monotonic() < deadline:
            for member in self.seeded.lab.topology.members:
                if self._leads(member):
                    return member.name
            time.sleep(0.2)
        raise AssertionError("no member of etcd leads")

    def follow(self, ended: Answered, *arguments: str) -> list[Answered]:
        """Do what keyctl says is to be done next, until it ends with 0; `arguments` are what `ended` was run with.

        Returns all that was said on the way, `ended` first. Fails on any code but 0, 5 and 6, and when its hints name
        no command, a wrong one, or lead nowhere.
        """
        said = [ended]
        while ended.code != 0:
            assert len(said) <= MOST_STEPS, said
            arguments = self.next_command(ended, *arguments)
            ended = self.start(*arguments).wait()
            said.append(ended)
        return said

    def next_command(self, ended: Answered, *before: str) -> tuple[str, ...]:
        """The command that leads on, as the hints of `ended` say it; `before` is the one that was run.

        Fails on a code that is neither 5 nor 6, and on hints that are wrong or name no command.
        """
        assert ended.code in {5, 6}, ended
        assert wrong_hints([ended.stderr]) == []
        hints = [line for line in ended.stderr.splitlines() if line.startswith("hint: ")]
        commands = [tuple(found[1].split()) for line in hints if (found := _HINT.search(line))]
        forward = [command for command in commands if "--abort" not in command]
        if forward:
            return forward[0] if "--resume" in forward[0] else (*forward[0], "--yes")
        assert any(words in line for line in hints for words in _AGAIN), f"no next step is named: {ended}"
        # NOTE: a rotation that was begun is resumed; to begin it again is refused.
        assert "--resume" in before or not self.journal.unfinished(), ended
        return before

    def nothing_lost(self, load: Load) -> None:
        """No Secret was unreadable, changed or lost, neither those that stood still nor those that changed."""
        assert load.faults == []
        assert load.lost() == []
        assert self.seeded.changed() == {}

    def _alive(self, name: str) -> ProcessId | None:
        process = self.seeded.lab.process(name)
        return process if process is not None and process.alive() else None

    def _signal(self, name: str, sent: signal.Signals) -> bool:
        process = self._alive(name)
        if process is None:
            return False
        try:
            handle = os.pidfd_open(process.pid)
        except ProcessLookupError:
            return False
        try:
            if not process.alive():
                return False
            signal.pidfd_send_signal(handle, sent)
        except ProcessLookupError:
            return False
        finally:
            os.close(handle)
        return True

    def _member(self, name: str) -> Member:
        return next(member for member in self.seeded.lab.topology.members if member.name == name)

    def _launch(self, name: str) -> None:
        lab = self.seeded.lab
        if name in self.apiservers:
            start_server(lab.topology.server(name), lab.topology, lab.layout)
            return
        command = flags.etcd_command(self._member(name), lab.topology, lab.layout)
        start(Program(command=command, record=lab.layout.record(name), log=lab.layout.member(name).log))

    def _readiness(self, name: str) -> tuple[str, Credentials]:
        """Where a server or member says that it is ready, and what to ask with."""
        lab = self.seeded.lab
        if name in self.apiservers:
            return f"{lab.topology.server(name).url}/readyz", admin_credentials(lab.layout)
        access = lab.etcd
        return f"{self._member(name).client_url}/readyz", Credentials(
            Path(access.cacert), Path(access.cert), Path(access.key)
        )

    def _leads(self, member: Member) -> bool:
        """What etcdctl says of one member; False where it does not answer."""
        access = self.seeded.lab.etcd
        command = [str(binary("etcdctl")), "endpoint", "status", "-w", "json", f"--endpoints={member.client_url}"]
        command += [f"--cacert={access.cacert}", f"--cert={access.cert}", f"--key={access.key}"]
        command += ["--command-timeout=3s", "--dial-timeout=2s"]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        if ran.returncode:
            return False
        (answer,) = json.loads(ran.stdout)
        status = answer["Status"]
        return bool(status["leader"] == status["header"]["member_id"])


@contextmanager
def site(
    directory: Path, *, apiservers: int = 3, members: int = 3, reload: bool = False, count: int = 60
) -> Iterator[Site]:
    """A lab below `directory` with `count` Secrets in it, and an etcd of its own. Everything ends with the block."""
    name = f"museum-{os.getpid()}-{next(_numbers)}"
    settings = Settings(name=name, members=members, apiservers=apiservers, reload=reload)
    with running_lab(settings, directory=directory / "lab", programs=servers(), progress=_silent) as lab:
        made = Site(directory, seed(lab, directory / "state", count))
        try:
            yield made
        finally:
            for running in made.running:
                running.clear()


def _state_in(record: Mapping[str, object]) -> State | None:
    kind = str(record["kind"])
    return State(str(record["state"])) if kind == "state" else _EARLY.get(kind)


def _silent(line: str) -> None:
    """Nobody watches a test."""
