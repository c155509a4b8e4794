"""A file that a user names, or stdin, as bytes: whole or not at all, and never more than a bound; or a new file.

Waits for nothing but stdin, and opens nothing that is no regular file: opening a device can act. Looks at no
byte of the content, which may hold keys, so no message can carry one.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import sys
from pathlib import Path
from typing import Protocol

import click

from keyctl.errors import UnusableInputError
from keyctl.stored.display import display

STDIN = "-"
# kube-apiserver reads a file of any size. One with 1,000 entries and a key in each has 0.2 MB; 1 MiB holds 6,000,
# and reading those takes two seconds and less than 100 MB.
LIMIT = 1024 * 1024

_PIECE = 64 * 1024


class _NotRegularError(OSError):
    """What is there is neither a file nor a directory."""


_HINTS: dict[type[OSError], str] = {
    PermissionError: "run it as root, for example with sudo",
    IsADirectoryError: "name the file in it",
    _NotRegularError: "name a regular file; what another program prints is piped into stdin, with - for the file",
}


class _Raw(Protocol):
    """What is read here: None when there is nothing yet, b"" at the end."""

    def read(self, size: int, /) -> bytes | None: ...
    def fileno(self) -> int: ...


def read_file(path: str | Path, what: str, *, limit: int = LIMIT) -> bytes:
    """The bytes of the file `path`, or of stdin for "-"; `what` is what they should be, with its article.

    Empty is allowed: it is for the reader to say what is missing. `limit` is in bytes.

    Raises `UnusableInputError` for what cannot be read, is no regular file, or is larger than `limit`.
    """
    return _read_stdin(what, limit) if str(path) == STDIN else read_regular(path, what, limit=limit)


def read_regular(path: str | Path, what: str, *, limit: int = LIMIT) -> bytes:
    """The same for a path that no user typed: "-" is a file of that name."""
    try:
        # Before it is opened, for opening a device can act, and a pipe without a writer would wait.
        _check_regular(os.stat(path).st_mode)  # noqa: PTH116 — a Path would make of "" the folder it is in
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 — a descriptor, not a path
            # Again: another file may have come into its place meanwhile.
            found = os.fstat(descriptor)
            _check_regular(found.st_mode)
            if found.st_size > limit:
                raise _too_large(what, name_of(path), limit)
            content = _drain(file, limit)
    except OSError as exc:
        raise unreadable(what, path, exc) from exc
    except ValueError:
        raise _refusal(what, name_of(path), "no file can have this name", "check the path") from None
    if len(content) > limit:
        raise _too_large(what, name_of(path), limit)
    return content


def write_new(path: Path, content: bytes) -> None:
    """Write the new file `path`, synced, for its owner alone.

    Raises `UnusableInputError` where there is one already, or where it cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(descriptor)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    except OSError as exc:
        raise UnusableInputError(f"cannot write {path}", cause=exc.strerror) from exc


def unreadable(what: str, path: str | Path, error: OSError) -> UnusableInputError:
    """How the system's refusal to let `path` be read is told."""
    hint = next((hint for kind, hint in _HINTS.items() if isinstance(error, kind)), "check the path")
    return _refusal(what, name_of(path), error.strerror, hint)


def name_of(path: str | Path) -> str:
    """What messages call `path`: always one printable line."""
    return "<stdin>" if str(path) == STDIN else display(str(path))


def _read_stdin(what: str, limit: int) -> bytes:
    name = name_of(STDIN)
    if sys.stdin is None:
        raise _refusal(what, name, "stdin is closed", "pipe the content in, or name a file")
    if sys.stdin.isatty():
        click.echo(f"reading {what} from this terminal; Ctrl-D on a line of its own ends it", err=True)
    # Past the buffer, which hides whether a stdin that does not block has ended or only has nothing yet.
    raw = getattr(sys.stdin.buffer, "raw", sys.stdin.buffer)
    try:
        content = _drain(raw, limit, wait=True)
    except OSError as exc:
        raise _refusal(what, name, exc.strerror, "pipe the content in, or name a file") from exc
    if len(content) > limit:
        raise _too_large(what, name, limit)
    return content


def _drain(raw: _Raw, limit: int, *, wait: bool = False) -> bytes:
    """All there is to read, but never more than one byte past `limit`.

    Raises `BlockingIOError` when there is nothing yet and `wait` is False.
    """
    content = bytearray()
    while len(content) <= limit:
        piece = raw.read(min(_PIECE, limit + 1 - len(content)))
        if piece == b"":
            break
        if piece is not None:
            content += piece
        elif wait:
            select.select([raw], [], [])
        else:
            raise BlockingIOError(errno.EAGAIN, "it has nothing to read yet")
    return bytes(content)


def _check_regular(mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    kind = "a pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
    raise _NotRegularError(errno.EINVAL, f"it is {kind}, no regular file")


def _too_large(what: str, name: str, limit: int) -> UnusableInputError:
    return _refusal(what, name, f"it has more than {limit} bytes, which is the limit", "check that it is this file")


def _refusal(what: str, name: str, cause: str | None, hint: str) -> UnusableInputError:
    return UnusableInputError(f"cannot read {what} {name}", cause=cause, hint=hint)
