"""One login by the system's own ssh that all calls to a host share: the user's configuration, agent and jump hosts.

Host keys are enforced whatever that configuration says, nothing is ever asked, and every call has a limit. Knows
nothing of files; nothing of `content` or of the output reaches a command line or a message.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path

from keyctl.errors import KeyctlError
from keyctl.hosts.interface import HostUnreachableError
from keyctl.hosts.process import Cut, Ended, run
from keyctl.hosts.ssh_failures import Place, no_login

PROGRAM = "ssh"
# TCP and banner; then the whole login, with a jump host or two and a slow agent.
_CONNECT_SECONDS = 15
_LOGIN_SECONDS = 60.0
# A dead peer is noticed after three of these without an answer.
_ALIVE_SECONDS = 5
# The shared connection outlives a keyctl that was killed by this much.
_IDLE_SECONDS = 60
_CLOSE_SECONDS = 5.0
_LOGIN_OUTPUT = 65536
# sockaddr_un holds 108 bytes, and ssh puts 17 more behind the name while it creates the socket.
_SOCKET_NAME = 88
_OPTIONS = {
    "BatchMode": "yes",
    "StrictHostKeyChecking": "yes",
    "NoHostAuthenticationForLocalhost": "no",
    "VerifyHostKeyDNS": "no",
    "UpdateHostKeys": "no",
    "ConnectTimeout": str(_CONNECT_SECONDS),
    "ServerAliveInterval": str(_ALIVE_SECONDS),
    "ServerAliveCountMax": "3",
    "ClearAllForwardings": "yes",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "PermitLocalCommand": "no",
    "RemoteCommand": "none",
    "RequestTTY": "no",
    "LogLevel": "ERROR",
}


class SshConnection:
    """A connection to `address`, for the host that messages call `name`; opened by the first call, closed at the end.

    `config` is a file in place of the user's own ~/.ssh/config.
    """

    def __init__(self, name: str, address: str, *, user: str | None = None, config: Path | None = None) -> None:
        chosen = (*(("-F", str(config)) if config else ()), *(("-l", user) if user else ()))
        self.place = Place(name, shlex.join((PROGRAM, *chosen, address)))
        options = tuple(word for option, value in _OPTIONS.items() for word in ("-o", f"{option}={value}"))
        self._chosen, self._options, self._address = chosen, options, address
        self._socket: Path | None = None

    def run(self, command: str, content: bytes, *, seconds: float, most: int) -> Ended:
        """Have the user's login shell there run `command` with `content` on its stdin.

        Raises `HostUnreachableError` when there is no getting in. A call that does not end within `seconds`, or
        says more than `most` bytes, comes back cut off; what it does there may go on.
        """
        shared = self._login()
        words = self._words(shared, "-o", "ControlMaster=no", "--", self._address, command)
        return _run(self.place, words, content=content, seconds=seconds, most=most)

    def drop(self) -> None:
        """Give the shared connection up, dead as it may be: the next call logs in anew."""
        if self._socket is not None:
            _leave(self._leaving(self._socket))
            self._socket.unlink(missing_ok=True)

    def _login(self) -> Path:
        """The socket of the shared connection, which is opened if it is not there, or no longer."""
        if self._socket is None:
            try:
                directory = _private_directory()
            except OSError as error:
                raise _no_folder(self.place, error) from None
            self._socket = directory / "s"
            weakref.finalize(self, _close, self._leaving(self._socket), directory)
        if not _answers(self._socket):
            self._socket.unlink(missing_ok=True)
            persist = ("-o", f"ControlPersist={_IDLE_SECONDS}")
            words = self._words(self._socket, "-M", "-N", "-f", *persist, "--", self._address)
            ended = _run(self.place, words, content=b"", seconds=_LOGIN_SECONDS, most=_LOGIN_OUTPUT)
            if ended.cut is Cut.TIME:
                message = f"host {self.place.host}: no login within {_LOGIN_SECONDS:g} s"
                raise HostUnreachableError(message, hint=f"see that this works: {self.place.login}")
            if ended.status:
                raise no_login(self.place, ended.errors)
        return self._socket

    def _leaving(self, shared: Path) -> tuple[str, ...]:
        return self._words(shared, "-O", "exit", "--", self._address)

    def _words(self, shared: Path, *rest: str) -> tuple[str, ...]:
        return (PROGRAM, *self._chosen, *self._options, "-T", "-o", f"ControlPath={shared}", *rest)


def _run(place: Place, words: tuple[str, ...], *, content: bytes, seconds: float, most: int) -> Ended:
    try:
        return run(words, content=content, seconds=seconds, most=most, environment=_environment())
    except OSError as error:
        raise _cannot_start(place, error) from None


def _cannot_start(place: Place, error: OSError) -> KeyctlError:
    return HostUnreachableError(
        f"host {place.host}: {PROGRAM} cannot be started here",
        cause=error.strerror,
        hint="install OpenSSH's client on this machine (Debian, Ubuntu: package openssh-client)",
    )


def _no_folder(place: Place, error: OSError) -> KeyctlError:
    return HostUnreachableError(
        f"host {place.host}: there is no folder here for the connection's socket",
        cause=error.strerror,
        hint="name one that this user may write in, on a disk with free space: TMPDIR",
    )


def _environment() -> dict[str, str]:
    """The user's, for agent and configuration; in English, for messages are told apart, and with nobody to ask."""
    kept = {name: value for name, value in os.environ.items() if name not in {"SSH_ASKPASS", "DISPLAY"}}
    return kept | {"LC_ALL": "C", "SSH_ASKPASS_REQUIRE": "never"}


def _private_directory() -> Path:
    """A directory of its own, 0700, for the socket: with a short name wherever temporary files go."""
    wanted = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    for place in (wanted, "/tmp"):  # noqa: S108 — mkdtemp makes a private directory in it
        with suppress(OSError):
            directory = Path(tempfile.mkdtemp(prefix="keyctl-", dir=place))
            if len(str(directory / "s")) <= _SOCKET_NAME:
                return directory
            directory.rmdir()
    return Path(tempfile.mkdtemp(prefix="keyctl-"))


def _answers(place: Path) -> bool:
    """Whether somebody serves the socket: one that was killed leaves its file behind."""
    with socket.socket(socket.AF_UNIX) as one:
        # One that takes nobody in, for it hangs, is as good as gone.
        one.settimeout(_CLOSE_SECONDS)
        try:
            one.connect(str(place))
        except OSError:
            return False
        return True


def _leave(words: tuple[str, ...]) -> None:
    with suppress(OSError):
        run(words, seconds=_CLOSE_SECONDS, most=_LOGIN_OUTPUT, environment=_environment())


def _close(words: tuple[str, ...], directory: Path) -> None:
    if (directory / "s").exists():
        _leave(words)
    shutil.rmtree(directory, ignore_errors=True)
