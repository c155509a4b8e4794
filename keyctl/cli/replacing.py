"""Files that the user named, replaced by other contents: all of them, or none, as far as a file system can.

Every new content is written and synced beside its file before the first file is replaced, so what can be known to
fail has failed by then. What is in force stays: mode, owner, label. Contents may hold keys; none reaches a message.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from keyctl.cli.files import name_of
from keyctl.encryption_config.decode import hash_of
from keyctl.errors import KeyctlError, RefusedError, StoppedError, UnreachableError, UnusableInputError, WrongUsageError
from keyctl.hosts.local import LocalHost

_HERE = "here"


@dataclass(frozen=True, slots=True)
class Replacement:
    """A file, what it held when it was read, and what it is to hold."""

    path: str
    before: bytes = field(repr=False)
    after: bytes = field(repr=False)


# From the paths that are written and those that are not to what to do next.
NextSteps = Callable[[Sequence[str], Sequence[str]], tuple[str, ...]]


def no_steps(_written: Sequence[str], _left: Sequence[str]) -> tuple[str, ...]:
    """For a single file, of which no part can be left."""
    return ()


def replace_files(replacements: Sequence[Replacement], *, next_steps: NextSteps) -> None:
    """Replace the files in the order given, each by a synced file beside it and a rename.

    With nothing written, raises `UnusableInputError` when the system refuses, `RefusedError` when a file is a link,
    is no regular file, or has changed meanwhile, `WrongUsageError` when one is named twice. Once one is written, a
    failure is a `StoppedError` that says which are and which are not, with `next_steps` as its hints.
    """
    places = [Path(one.path).parent.resolve() / Path(one.path).name for one in replacements]
    if len(set(places)) < len(places):
        raise WrongUsageError("a FILE is named twice", hint="name each file once")
    host = LocalHost(_HERE, restart_command=None, restart_wait=0)
    copies: dict[str, Path] = {}
    trying = ""
    try:
        for one in replacements:
            trying = one.path
            copies[trying] = host.stage(trying, one.after, expected=hash_of(one.before))
        for one in replacements:
            trying = one.path
            host.place(copies[trying], trying, one.after, expected=hash_of(one.before))
    except (KeyctlError, KeyboardInterrupt) as error:
        written = [one.path for one in replacements if _holds(host, one.path, one.after)]
        if written:
            left = [one.path for one in replacements if one.path not in written]
            raise _stopped(written, left, error, next_steps) from error
        if isinstance(error, KeyboardInterrupt):
            raise
        raise _refusal(trying, error, several=len(replacements) > 1) from error
    finally:
        for copy in copies.values():
            with suppress(OSError):
                copy.unlink(missing_ok=True)


def _holds(host: LocalHost, path: str, content: bytes) -> bool:
    """Whether the file has its new content: a rename may have been done although what came after it failed."""
    try:
        found = host.read(path)
    except KeyctlError:
        return False
    return found is not None and found.content == content


def _stopped(written: list[str], left: list[str], error: BaseException, next_steps: NextSteps) -> StoppedError:
    cause = _without_host(error) if isinstance(error, KeyctlError) else "interrupted"
    if isinstance(error, UnreachableError) and error.cause:
        cause = error.cause
    if not left:
        hint = "see whether the disk is full or broken; the files hold what they should"
        return StoppedError(f"{_listed(written)} written, and then the system failed", cause=cause, hint=hint)
    return StoppedError(f"{_listed(written)} written, {_listed(left)} not", cause=cause, hint=next_steps(written, left))


def _refusal(path: str, error: KeyctlError, *, several: bool) -> KeyctlError:
    nothing = ", so no file was written" if several else ""
    if isinstance(error, UnreachableError):
        hint = "run it as the user that owns the file, and see that its disk is not full"
        return UnusableInputError(f"cannot write {name_of(path)}{nothing}", cause=error.cause, hint=hint)
    return RefusedError(
        f"{name_of(path)} cannot be replaced{nothing}" if several else f"{name_of(path)} was not written",
        cause=_without_host(error),
        hint="name the file itself, and run the command again on what it holds now",
    )


def _listed(paths: list[str]) -> str:
    return f"{', '.join(map(name_of, paths))} {'is' if len(paths) == 1 else 'are'}"


def _without_host(error: KeyctlError) -> str:
    return str(error).removeprefix(f"host {_HERE}: ")
