"""Save every etcd of a cluster, one snapshot each. One that fails does not keep the others from being saved."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from keyctl.backup.interface import Watch
from keyctl.backup.save import Job, Saved, check_free, save
from keyctl.backup.sealing import SUFFIX
from keyctl.errors import KeyctlError, StoppedError
from keyctl.etcd.interface import MAIN

_NOT_FOR_A_FILE = re.compile(r"[^0-9A-Za-z._-]")


@dataclass(frozen=True, slots=True)
class Failed:
    """An etcd of which there is no snapshot, and why."""

    name: str
    path: Path
    error: KeyctlError


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of each etcd, in order; `saved` has one at least."""

    saved: tuple[Saved, ...]
    failed: tuple[Failed, ...] = ()


def path_for(file: Path, name: str) -> Path:
    """Where the snapshot of the etcd `name` goes: the main one's to `file`, another one's beside it."""
    if name == MAIN:
        return file
    if file.suffix == SUFFIX:
        inner = path_for(file.with_suffix(""), name)
        return inner.with_name(inner.name + SUFFIX)
    return file.with_name(f"{file.stem}.{_NOT_FOR_A_FILE.sub('_', name)}{file.suffix}")


def command(path: Path, name: str, flags: Sequence[str]) -> str:
    """The command that saves the etcd `name` alone to `path`, with `flags` of the user's, as a shell takes it."""
    return shlex.join(("keyctl", "snapshot", "save", str(path), "--etcd", name, *flags))


def save_all(jobs: Sequence[tuple[Job, Path]], watch: Callable[[str], Watch], flags: Sequence[str] = ()) -> Outcome:
    """Save each etcd to its path. `watch` makes who watches the one of that name; `flags` are for what to do next.

    Raises what `save` raises where none is saved, each refusal before the first byte; `StoppedError` when it is
    interrupted after one was saved.
    """
    for job, path in jobs:
        check_free(job.store, path)
    saved: list[Saved] = []
    failed: list[Failed] = []
    for job, path in jobs:
        try:
            saved.append(save(job, path, watch(job.name)))
        except KeyctlError as error:
            failed.append(Failed(job.name, path, error))
        except KeyboardInterrupt:
            if not saved:
                raise
            raise _interrupted(jobs, saved, flags) from None
    if not saved:
        raise failed[0].error
    return Outcome(tuple(saved), tuple(failed))


def _interrupted(jobs: Sequence[tuple[Job, Path]], saved: Sequence[Saved], flags: Sequence[str]) -> StoppedError:
    done = [one.path for one in saved]
    left = [(job.name, path) for job, path in jobs if path not in done]
    names = ", ".join(name for name, _ in left)
    return StoppedError(
        "interrupted before every etcd was saved",
        cause=f"complete: {', '.join(map(str, done))}; not saved: {names}",
        hint=tuple(command(path, name, flags) for name, path in left),
    )
