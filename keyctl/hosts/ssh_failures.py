"""Why a call over ssh failed, from what ssh and sudo say. Pure: texts in, errors out.

Only sentences of ssh and sudo themselves are quoted, one line, never what ran on the host.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from keyctl.errors import UnreachableError
from keyctl.hosts.interface import HostUnreachableError
from keyctl.stored.display import display

_SSH_FAILED = 255
_NOT_FOUND = 127
# What the file systems of the host say; nothing else of a program's stderr is quoted.
_SYSTEM_WORDS = (
    "No space left on device",
    "Disk quota exceeded",
    "Read-only file system",
    "Permission denied",
    "Operation not permitted",
    "Operation not supported",
    "Not a directory",
    "Is a directory",
    "File exists",
    "File name too long",
    "Too many levels of symbolic links",
    "No such file or directory",
    "Input/output error",
)


@dataclass(frozen=True, slots=True)
class Place:
    """A host as messages name it, and how its user logs in there by hand."""

    host: str
    login: str


@dataclass(frozen=True, slots=True)
class _Kind:
    says: re.Pattern[str]
    message: str
    hint: str


_BY_SSH = (
    _Kind(
        re.compile(r"REMOTE HOST IDENTIFICATION HAS CHANGED|[Hh]ost key for .* has changed|revoked host key"),
        "its host key is not the one in the known hosts file",
        "find out who answers there before anything else; if its key was meant to change, log in by hand, which says "
        "what to delete: {login}",
    ),
    _Kind(
        re.compile(r"No \S+ host key is known for|Host key verification failed|authenticity of host"),
        "its host key is not known",
        "log in once by hand and compare the fingerprint with the host's own: {login}",
    ),
    _Kind(
        re.compile(
            r"Permission denied \(|Permission denied, please|Too many authentication failures|No supported auth"
        ),
        "it does not let this user in",
        "make this work without a password, by a key in your agent, say: {login}",
    ),
    _Kind(
        re.compile(r"Bad configuration option|bad configuration options|Can't open user config|Bad owner or perm"),
        "ssh does not accept its own configuration",
        "see what ssh says: {login}",
    ),
)
_NO_WAY = _Kind(
    re.compile(
        r"Could not resolve|Connection refused|timed out|No route to host|Network is unreachable|"
        r"Connection (?:closed|reset) by|kex_exchange_identification|banner exchange"
    ),
    "it cannot be reached",
    "see that this works: {login}",
)
_BY_SUDO = re.compile(
    r"sudo: (?:a password is required|a terminal is required|no tty present|sorry, you must)|"
    r"not in the sudoers|may not run sudo|is not allowed to (?:execute|run)|password for"
)


class ConnectionLostError(UnreachableError):
    """The connection broke: what was begun may or may not have been done."""


def no_login(place: Place, errors: bytes) -> HostUnreachableError:
    """The error of a login that failed."""
    text = errors.decode(errors="replace")
    for kind in (*_BY_SSH, _NO_WAY):
        if found := kind.says.search(text):
            return _unreachable(place, kind.message, _line_of(text, found), kind.hint)
    return _unreachable(place, "the login failed", None, "see what ssh says: {login}")


def not_begun(place: Place, status: int | None, errors: bytes) -> UnreachableError:
    """The error of a call of which nothing ran on the host although there had been a login."""
    text = errors.decode(errors="replace")
    if status == _SSH_FAILED:
        if any(kind.says.search(text) for kind in _BY_SSH):
            return no_login(place, errors)
        return ConnectionLostError(
            f"host {place.host}: the connection was lost", hint=f"see that this works: {place.login}"
        )
    if found := _BY_SUDO.search(text):
        return _unreachable(
            place,
            "sudo asks for a password or refuses",
            _line_of(text, found),
            "let this user run sh there without one, or log in as root and leave sudo out: sudo -n sh -c true",
        )
    if status == _NOT_FOUND:
        what = "sudo" if "sudo" in text else "sh"
        return _unreachable(place, f"{what} is not installed there", None, "see what is there: {login}")
    cause = f"the login shell ended with exit status {status}"
    return _unreachable(place, "it runs no command", cause, "see what it says: {login} true")


def lost(place: Place, path: str, why: str) -> ConnectionLostError:
    """The connection broke while the host was at work: whether it was done is not known."""
    return ConnectionLostError(
        f"host {place.host}: {path}: the connection was lost in the middle",
        cause=why,
        hint="look at the host and the network; run the command again: it looks at the file first",
    )


def unanswered(place: Place, path: str, why: str) -> UnreachableError:
    """The host did not say in time, or in few enough words, what it did: whether it was done is not known."""
    return UnreachableError(
        f"host {place.host}: {path}: {why}",
        hint="see whether its disk or the network is stuck; run the command again: it looks at the file first",
    )


def not_done(place: Place, path: str, step: str, errors: bytes) -> UnreachableError:
    """The host answered that it could not do a step."""
    text = errors.decode(errors="replace")
    said = next((words for words in _SYSTEM_WORDS if words in text), None)
    denied = said in {"Permission denied", "Operation not permitted"}
    return UnreachableError(
        f"host {place.host}: {path} cannot be used",
        cause=f"{step}: {said}" if said else f"{step} failed there",
        hint="log in as the user that owns the file, or set host.sudo: true in the cluster file"
        if denied
        else "check the mount and its free space on the host",
    )


def no_tool(place: Place, tool: str) -> UnreachableError:
    """The host lacks a program of the coreutils."""
    return UnreachableError(
        f"host {place.host}: there is no {display(tool)}",
        cause="files are replaced there with the programs of GNU coreutils",
        hint="install coreutils on the host",
    )


def _unreachable(place: Place, message: str, cause: str | None, hint: str) -> HostUnreachableError:
    return HostUnreachableError(
        f"host {place.host}: {message}",
        cause=None if cause is None else display(cause),
        hint=hint.format(login=place.login),
    )


def _line_of(text: str, found: re.Match[str]) -> str:
    start = text.rfind("\n", 0, found.start()) + 1
    return text[start:].partition("\n")[0].strip(" \r@")
