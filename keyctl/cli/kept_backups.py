"""Backups under a policy on the command line: their names, what is deleted after a save, and what a failed run tells.

Deletes nothing before every etcd that was to be saved is saved and right.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from keyctl.cli import report_files
from keyctl.errors import KeyctlError, WrongUsageError
from keyctl.findings import Gauge, Report

if TYPE_CHECKING:
    from keyctl.backup.keep import Policy
    from keyctl.backup.save import Job
    from keyctl.backup.save_all import Outcome
    from keyctl.backup.sealing import Seal
    from keyctl.backup.shelf import Rotation
    from keyctl.keys.interface import KeyStore

_NOT_FOR_A_FILE = re.compile(r"[^0-9A-Za-z._-]")
_OPENMETRICS = "openmetrics"


@dataclass(frozen=True, slots=True)
class Wish:
    """How a snapshot is saved: to whom it is encrypted, and by which policy former ones go. `copies` may be about.

    `scratch` is the place that was asked for, None for the usual one.
    """

    seal: Seal | None = None
    policy: Policy | None = None
    copies: bool = True
    scratch: Path | None = None

    @classmethod
    def from_options(cls, given: Mapping[str, object], recipients_file: Path | None, *, dry_run: bool) -> Wish:
        """From what click hands over. Raises `WrongUsageError` for flags that do not go together."""
        from keyctl.backup.keep import parse
        from keyctl.backup.sealing import Seal
        from keyctl.cli.sealed_snapshots import place, read_recipients

        named, scratch, keep = given["recipients"], given["scratch"], given["keep"]
        recipients = read_recipients(named if isinstance(named, tuple) else (), recipients_file)
        if scratch is not None and not recipients:
            raise WrongUsageError("--scratch is for a snapshot that is encrypted", hint="add --encrypt-to AGE1...")
        if keep is None and (given["no_copies"] or dry_run):
            raise WrongUsageError(
                "--no-copies and --dry-run belong to a policy",
                hint="add one: --keep last=7,daily=14,weekly=8,monthly=12",
            )
        asked = scratch if isinstance(scratch, Path) else None
        seal = Seal(recipients, place(asked)) if recipients else None
        return cls(seal, parse(keep) if isinstance(keep, str) else None, not given["no_copies"], asked)

    @property
    def keep(self) -> str:
        """The policy as the manifest has it."""
        return "" if self.policy is None else str(self.policy)

    @property
    def words(self) -> tuple[str, ...]:
        """The flags that say the same again."""
        sealed = () if self.seal is None else tuple(w for one in self.seal.recipients for w in ("--encrypt-to", one))
        where = () if self.scratch is None else ("--scratch", str(self.scratch))
        return (
            *sealed,
            *where,
            *(("--keep", self.keep) if self.policy else ()),
            *(() if self.copies else ("--no-copies",)),
        )


def is_directory(file: Path) -> bool:
    """Whether `file` is a directory of backups; False where one may not look: what opens it tells that."""
    # Path.is_dir raises there.
    return os.path.isdir(file)  # noqa: PTH112


def named(file: Path, cluster: str | None, wish: Wish, now: datetime) -> Path:
    """`file`, or where that is a directory, a new name in it: of the cluster and the time."""
    from keyctl.backup.sealing import SUFFIX

    if not is_directory(file):
        return file
    stem = _NOT_FOR_A_FILE.sub("_", cluster or "etcd")
    return file / f"{stem}-{now:%Y%m%dT%H%M%SZ}.db{SUFFIX if wish.seal else ''}"


def rotated(jobs: Sequence[tuple[Job, Path]], outcome: Outcome, wish: Wish, now: datetime) -> tuple[Rotation, ...]:
    """Delete what the policy ends, of each etcd; nothing where one was not saved, or is not as it should be.

    Nothing of an etcd of which an empty snapshot was saved, either. Raises `StoppedError` where one that was saved is
    not there any more: then nothing is deleted of any.
    """
    from keyctl.backup.keep import Candidate
    from keyctl.backup.save_report import exit_code
    from keyctl.backup.shelf import Series, carry_out, look, plan, require_there
    from keyctl.errors import ExitCode

    if wish.policy is None or exit_code(outcome) is not ExitCode.OK:
        return ()
    ready = []
    for saved in outcome.saved:
        made, store = saved.manifest, _store_of(jobs, saved.path)
        series = Series(made.cluster_id, made.name, made.revision)
        shelf = look(saved.path.parent, series, store, now=now)
        require_there(shelf, saved.path.name)
        fresh = Candidate(saved.path.name, datetime.fromisoformat(made.at))
        # NOTE: an etcd for events may be empty, one for Secrets was emptied: what is left of it are its backups.
        if made.values:
            ready.append((plan(saved.path.parent, series, wish.policy, shelf, fresh), shelf, store))
    return tuple(carry_out(one, shelf, store, now=now, copies=wish.copies) for one, shelf, store in ready)


def planned(jobs: Sequence[tuple[Job, Path]], wish: Wish, now: datetime) -> tuple[Rotation, ...]:
    """What `rotated` would do were every etcd saved now. Changes nothing."""
    from keyctl.backup.keep import Candidate
    from keyctl.backup.shelf import Series, look, plan

    if wish.policy is None:
        return ()
    found = []
    for job, path in jobs:
        status = job.etcd.status()[0]
        series = Series(status.cluster_id, job.name, status.revision)
        shelf = look(path.parent, series, job.store, now=now)
        found.append(plan(path.parent, series, wish.policy, shelf, Candidate(path.name, now)))
    return tuple(found)


def newest_in(directory: Path, now: datetime) -> Path:
    """The newest backup in `directory` that has a manifest, of the main etcd where there are several.

    Raises `UnusableInputError` where there is none.
    """
    from keyctl.backup.shelf import newest
    from keyctl.errors import UnusableInputError
    from keyctl.etcd.interface import MAIN

    # NOTE: where the newest was cut, a drill of the one before it would say that all is well.
    found = {name: (at, path) for at, path, name in newest(directory, now=now, whole=False)}
    if not found:
        raise UnusableInputError(
            f"no backup with a manifest lies in {directory}", hint="keyctl snapshot save FILE saves one"
        )
    return found[MAIN][1] if MAIN in found else max(found.values())[1]


@contextmanager
def told_when_it_fails(kind: str, targets: report_files.Targets, file: Path, store: KeyStore | None) -> Iterator[None]:
    """Where the work within fails, say so in the report for monitoring: an old one would look as if all were well."""
    try:
        yield
    except KeyctlError as error:
        watched = tuple(target for target in targets if target[0] == _OPENMETRICS)
        directory = file if is_directory(file) else file.parent
        report = Report(kind, error.exit_code, str(error), gauges=gauges(directory, store))
        report_files.deliver(report, watched, lambda: None)
        raise


def gauges(directory: Path, store: KeyStore | None) -> tuple[Gauge, ...]:
    """What is known of the backups in `directory`, whatever became of this run."""
    from keyctl.backup.keep_report import of_directory, of_tests
    from keyctl.cli.wiring import SystemClock

    found = [of_directory(directory, now=SystemClock().now())]
    if store is not None:
        try:
            found.append(of_tests(store.backups()))
        except KeyctlError:
            # NOTE: what made the run fail may be the store itself; then this is not known.
            return tuple(found)
    return tuple(found)


def _store_of(jobs: Sequence[tuple[Job, Path]], path: Path) -> KeyStore | None:
    return next(job.store for job, taken in jobs if taken == path)
