"""A control-plane host that is reached by ssh: one script of ours there, files replaced as `local` does it.

The script and what a file is to hold go over stdin, so the command line is one fixed line. It never decides what a
file should hold, and quotes nothing that a host says but its reasons.
"""

from __future__ import annotations

import math
import secrets
import shlex
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from keyctl.errors import KeyctlError
from keyctl.hosts.interface import HostFile
from keyctl.hosts.process import Cut, Ended
from keyctl.hosts.refusals import MAX_BYTES, changed, check_size, other_than, sha256, wrong_kind
from keyctl.hosts.restarting import no_restart, restart_failed
from keyctl.hosts.ssh_failures import ConnectionLostError, Place, lost, no_tool, not_begun, not_done, unanswered

_CALL_SECONDS = 60.0
# A write that was held up on the host gives up well before the caller stops waiting: it never lands later on.
_WRITE_SECONDS = 30
_RESTART_SLACK = 15.0
# A file, and what a login shell may print before it.
_MOST = MAX_BYTES + 256 * 1024
_KILLED = 137
_SCRIPT = "".join(
    line
    for line in Path(__file__).with_name("remote.sh").read_text().splitlines(keepends=True)
    if not line.lstrip().startswith("#")
).encode()


class Remote(Protocol):
    """Where commands are run; `SshConnection`, but for tests of the script."""

    place: Place

    def run(self, command: str, content: bytes, *, seconds: float, most: int) -> Ended:
        """See `SshConnection.run`."""
        ...

    def drop(self) -> None:
        """See `SshConnection.drop`."""
        ...


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the script answered: a kind, its words, and the bytes of a file; when it did, in Unix seconds of ours."""

    kind: str
    words: tuple[str, ...]
    content: bytes = field(repr=False)
    arrived: float


class SshHost:
    """The files of the API server `name` on another machine; with `sudo` they are root's there.

    `restart_command` is run there, without a shell, and may take `restart_wait` seconds.
    """

    def __init__(
        self,
        name: str,
        remote: Remote,
        *,
        sudo: bool,
        restart_command: tuple[str, ...] | None,
        restart_wait: float,
    ) -> None:
        self._name = name
        self._remote = remote
        self._sudo = sudo
        self._restart_command = restart_command
        self._restart_wait = restart_wait

    @property
    def name(self) -> str:
        """Which API server's host this is."""
        return self._name

    def read(self, path: str) -> HostFile | None:
        """See `Host.read`."""
        answer = self._look("read", path)
        return None if answer.kind == "none" else self._file(path, answer)

    def write(self, path: str, content: bytes, *, expected: str | None, in_place: bool = False) -> HostFile:
        """See `Host.write`."""
        check_size(self._name, path, len(content))
        how = (expected or "none", "yes" if in_place else "no", sha256(content), secrets.token_hex(8))
        answer = self._ask("write", path, *how, str(_WRITE_SECONDS), content=content, expected=expected)
        written = self._file(path, answer)
        if written.content != content:
            raise self._not_as_written(path)
        return written

    def remove(self, path: str, *, expected: str) -> None:
        """See `Host.remove`."""
        self._ask("remove", path, expected, expected=expected)

    def sweep(self, path: str) -> tuple[str, ...]:
        """See `Host.sweep`. A rewrite in place that was cut off is completed first."""
        prefix = f".keyctl-{path.rpartition('/')[2]}."
        return tuple(f"{prefix}{mark}" for mark in self._look("sweep", path).words)

    def free_bytes(self, path: str) -> int:
        """See `Host.free_bytes`."""
        return int(self._look("free", path).words[0])

    def restart(self) -> None:
        """See `Host.restart`. A restart command whose connection breaks may have worked: `UnreachableError`."""
        if self._restart_command is None:
            raise no_restart(self._name)
        wait, begun = self._restart_wait, time.monotonic()
        ended = self._ask("restart", str(math.ceil(wait)), *self._restart_command, seconds=wait + _RESTART_SLACK)
        program, status = self._restart_command[0], int(ended.words[0])
        if status == _KILLED and time.monotonic() - begun >= wait:
            raise restart_failed(self._name, f"{program} did not end within {wait:g} s")
        if status:
            raise restart_failed(self._name, f"{program} ended with exit status {status}")

    def _look(self, verb: str, path: str) -> _Answer:
        """An answer that changes nothing, or nothing twice: where the connection broke it is asked for once more."""
        try:
            return self._ask(verb, path)
        except ConnectionLostError:
            self._remote.drop()
            return self._ask(verb, path)

    def _ask(
        self,
        verb: str,
        *words: str,
        content: bytes = b"",
        expected: str | None = None,
        seconds: float | None = None,
    ) -> _Answer:
        nonce = secrets.token_hex(16)
        script = b"set -- " + shlex.join((nonce, verb, *words)).encode() + b"\n" + _SCRIPT
        # NOTE: byte by byte, so that nothing of what stands behind the script is taken with it.
        shell = f"sh -c 'eval \"$(dd bs=1 count={len(script)} 2>/dev/null)\"'"
        command = f"exec sudo -n -- {shell}" if self._sudo else f"exec {shell}"
        ended = self._remote.run(command, script + content, seconds=seconds or _CALL_SECONDS, most=_MOST)
        path = "the restart command" if verb == "restart" else words[0]
        answer = self._answer(ended, nonce, path)
        failure = self._failure(answer, path, expected, ended.errors)
        if failure is not None:
            raise failure
        return answer

    def _answer(self, ended: Ended, nonce: str, path: str) -> _Answer:
        mark = b"keyctl %s " % nonce.encode()
        _, begun, said = ended.output.partition(mark + b"begin\n")
        body, over, _ = said.rpartition(b"\n" + mark + b"end\n")
        head, _, rest = body.partition(b"\n")
        if begun and over and head.startswith(mark):
            kind, *words = head.removeprefix(mark).decode(errors="replace").split()
            return _Answer(kind, tuple(words), rest, time.time())
        if ended.cut is not None:
            why = "no answer in time" if ended.cut is Cut.TIME else "it answered with more than a file"
            raise unanswered(self._remote.place, path, why)
        if not begun:
            raise not_begun(self._remote.place, ended.status, ended.errors)
        raise lost(self._remote.place, path, "its answer was cut off")

    def _failure(self, answer: _Answer, path: str, expected: str | None, errors: bytes) -> KeyctlError | None:
        """The error that the answer stands for; None when it is what was asked for."""
        place, words = self._remote.place, " ".join(answer.words)
        match answer.kind:
            case "changed":
                return changed(self._name, path, other_than(expected, None if words == "none" else words))
            case "appeared":
                return changed(self._name, path, "expected no file, found one")
            case "other":
                return self._not_as_written(path)
            case "torn":
                cause = f"a rewrite of it was cut off; what it was to hold is in {words}"
                return changed(self._name, path, cause)
            case "link":
                return wrong_kind(self._name, path, "a symbolic link")
            case "irregular":
                return wrong_kind(self._name, path, "no regular file")
            case "large":
                check_size(self._name, path, int(words))
            case "tool":
                return no_tool(place, words)
            case "short" | "late":
                return lost(place, path, "what was to be written did not arrive in time; nothing was changed")
            case "failed":
                return not_done(place, path, words, errors)
        return None

    def _file(self, path: str, answer: _Answer) -> HostFile:
        check_size(self._name, path, len(answer.content))
        mode, modified, moved, now = answer.words
        # Whole seconds: a change counts from the end of its own on, and a clock shows the middle of one.
        changed_at, ahead = float(max(int(modified), int(moved)) + 1), int(now) + 0.5 - answer.arrived
        return HostFile(path, answer.content, sha256(answer.content), int(mode, 8), changed_at, ahead)

    def _not_as_written(self, path: str) -> KeyctlError:
        return changed(self._name, path, "right after writing it did not hold what was written")
