"""A file that the user named, replaced by other content: at once, or not at all.

What is in force stays: mode, owner, label. Contents may hold keys; none reaches a message.
"""

from __future__ import annotations

from keyctl.cli.files import name_of
from keyctl.encryption_config.decode import hash_of
from keyctl.errors import KeyctlError, RefusedError, UnreachableError, UnusableInputError
from keyctl.hosts.local import LocalHost

_HERE = "here"


def replace_file(path: str, content: bytes, *, was: bytes) -> None:
    """Replace `path`, which had the content `was` when it was read, by a synced file beside it and a rename.

    Raises `UnusableInputError` when the system refuses, `RefusedError` when the file is a link, is no regular file,
    or has changed meanwhile.
    """
    host = LocalHost(_HERE, restart_command=None, restart_wait=0)
    try:
        host.write(path, content, expected=hash_of(was))
    except UnreachableError as exc:
        raise UnusableInputError(
            f"cannot write {name_of(path)}", cause=exc.cause, hint="run it as the user that owns the file"
        ) from exc
    except RefusedError as exc:
        raise RefusedError(
            f"{name_of(path)} was not written",
            cause=_without_host(exc),
            hint="name the file itself, and run the command again on what it holds now",
        ) from exc


def _without_host(error: KeyctlError) -> str:
    return str(error).removeprefix(f"host {_HERE}: ")
