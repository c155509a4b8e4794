"""A control-plane host behind the user's own distribution: one command prints a file, one takes what it is to hold.

What such a way does not tell is not made up: no mode, no free space, no way to write in place. Commands run without
a shell; contents go over stdin and stdout only, and nothing that a command says reaches a message.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from keyctl.errors import RefusedError, UnreachableError
from keyctl.hosts.interface import HostFile
from keyctl.hosts.process import Cut, Ended, run
from keyctl.hosts.refusals import MAX_BYTES, changed, check_size, other_than, sha256
from keyctl.hosts.restarting import run_restart

# What `read` ends with for a file that does not exist.
NO_FILE = 3
_CALL_SECONDS = 60.0
_LOOK_EVERY = 1.0
_PLACES = re.compile(r"\{(path|server)\}")


class CommandHost:
    """The files of the API server `name`, as the user's commands read and distribute them.

    {path} and {server} in their words stand for the file and the name. What was handed over must read back within
    `wait` seconds. `restart_command` is run on this machine and may take `restart_wait` seconds.
    """

    def __init__(
        self,
        name: str,
        *,
        read: tuple[str, ...],
        write: tuple[str, ...],
        remove: tuple[str, ...] | None,
        wait: float,
        restart_command: tuple[str, ...] | None,
        restart_wait: float,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._name = name
        self._read_words = read
        self._write_words = write
        self._remove_words = remove
        self._wait = wait
        self._restart_command = restart_command
        self._restart_wait = restart_wait
        self._monotonic = monotonic
        self._sleep = sleep

    @property
    def name(self) -> str:
        """Which API server's host this is."""
        return self._name

    def read(self, path: str) -> HostFile | None:
        """See `Host.read`. What the command prints; whether a link led there only the command knows."""
        ended = self._run("read", self._read_words, path)
        if ended.status == NO_FILE:
            return None
        if ended.cut is Cut.SIZE:
            check_size(self._name, path, MAX_BYTES + 1)
        self._check("read", path, ended)
        return HostFile(path, ended.output, sha256(ended.output), None)

    def write(self, path: str, content: bytes, *, expected: str | None, in_place: bool = False) -> HostFile:
        """See `Host.write`. Between the look at what is there and the command nobody is kept away.

        Raises `RefusedError` (R13) with `in_place`: how a distribution writes, nobody tells.
        """
        check_size(self._name, path, len(content))
        if in_place:
            raise RefusedError(
                f"host {self._name}: {path} is to be written in place, which its write command does not promise",
                cause="the pod mounts the single file, and sees no other one put in its place",
                hint="mount the file's directory into the pod of this server instead",
                rule="R13",
            )
        before = self._require(path, expected)
        self._check("write", path, self._run("write", self._write_words, path, content))
        return self._await(path, before, content)

    def remove(self, path: str, *, expected: str) -> None:
        """See `Host.remove`. Raises `RefusedError` where the cluster file has no command for it."""
        before = self._require(path, expected)
        if self._remove_words is None:
            raise RefusedError(
                f"host {self._name}: {path} is to be removed, and there is no command for that",
                hint="set host.remove for this server in the cluster file, then: keyctl rotate --resume",
            )
        self._check("remove", path, self._run("remove", self._remove_words, path))
        self._await(path, before, None)

    def sweep(self, path: str) -> tuple[str, ...]:  # noqa: ARG002 — the interface's
        """See `Host.sweep`. Temporaries are the distribution's own."""
        return ()

    def free_bytes(self, path: str) -> int | None:  # noqa: ARG002 — the interface's
        """See `Host.free_bytes`: not known."""
        return None

    def restart(self) -> None:
        """See `Host.restart`. The command runs on this machine."""
        run_restart(self._name, self._restart_command, self._restart_wait)

    def _run(self, what: str, words: tuple[str, ...], path: str, content: bytes = b"") -> Ended:
        filled = {"path": path, "server": self._name}
        command = tuple(_PLACES.sub(lambda place: filled[place[1]], word) for word in words)
        try:
            return run(command, content=content, seconds=max(_CALL_SECONDS, self._wait), most=MAX_BYTES)
        except OSError as error:
            raise self._failed(what, path, f"{command[0]}: {error.strerror}") from None

    def _check(self, what: str, path: str, ended: Ended) -> None:
        if ended.cut is not None:
            why = "did not end in time" if ended.cut is Cut.TIME else "printed too much"
            raise self._failed(what, path, f"it {why}")
        if ended.status:
            raise self._failed(what, path, f"it ended with exit status {ended.status}")

    def _failed(self, what: str, path: str, cause: str) -> UnreachableError:
        return UnreachableError(
            f"host {self._name}: the {what} command failed for {path}",
            cause=cause,
            hint=f"run the command by hand to see what it says; host.{what} of the cluster file is the command",
        )

    def _require(self, path: str, expected: str | None) -> HostFile | None:
        found = self.read(path)
        if (found.sha256 if found else None) != expected:
            raise changed(self._name, path, other_than(expected, found.sha256 if found else None))
        return found

    def _await(self, path: str, before: HostFile | None, content: bytes | None) -> HostFile:
        """Wait until the file reads as it should; for one that was removed, returns what it was."""
        begun = self._monotonic()
        while True:
            found = self.read(path)
            if (found.content if found else None) == content:
                return found or before or HostFile(path, b"", sha256(b""), None)
            if (found.content if found else None) != (before.content if before else None):
                cause = "after the command it held neither what it did before nor what it should"
                raise changed(self._name, path, cause)
            if self._monotonic() - begun > self._wait:
                raise UnreachableError(
                    f"host {self._name}: {path} is still as it was {self._wait:g} s after the command to change it",
                    hint=(
                        "see where the distribution is held up; once it is through: keyctl rotate --resume",
                        "if it only takes longer, set host.wait in the cluster file",
                    ),
                )
            self._sleep(_LOOK_EVERY)
