"""The files of --report FORMAT=PATH: which ones are taken, and writing them beside the result on stdout.

What is wrong with a path is said before any work, for the work cannot be had again. Nothing but an earlier report of
keyctl is ever replaced, whole or not at all, and no link is followed.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click

from keyctl.cli.options import Connection
from keyctl.errors import ExitCode, KeyctlError, UnusableInputError, WrongUsageError
from keyctl.findings import Report
from keyctl.keys.private_files import write_and_close
from keyctl.reports import markdown, openmetrics, sarif
from keyctl.reports.formats import FORMATS
from keyctl.reports.html import page

# The format and where it goes.
Targets = tuple[tuple[str, Path], ...]

_HEAD = 4096
# How a report of each format begins, and what of it no other program writes.
_REPORTS = (
    (b"{", b'"exitCode"'),
    (b"<?xml", b"<testsuites"),
    (f'{{\n "$schema": "{sarif.SCHEMA}"'.encode(), b'"name": "keyctl"'),
    (b'[\n {\n  "engine_name": "keyctl"', b""),
    (b'{\n "assessment-results"', b'"title": "keyctl '),
    (markdown.MARK.encode(), b""),
    (openmetrics.MARK.encode(), b""),
    (page.HEAD.encode(), page.GENERATOR.encode()),
)
_ANOTHER = "give the report a file of its own"
_STDIN_OR_STDOUT = "-"


def parse(values: Iterable[str]) -> Targets:
    """`FORMAT=PATH` pairs of --report. Raises `WrongUsageError` for anything else."""
    targets = []
    for value in values:
        name, equals, path = value.partition("=")
        if not equals or not path:
            raise WrongUsageError(
                f"--report takes FORMAT=PATH, not {value!r}", hint="for example: --report json=report.json"
            )
        if name not in FORMATS:
            raise WrongUsageError(f"no report format {name!r}", hint=f"known: {', '.join(FORMATS)}")
        if path == _STDIN_OR_STDOUT:
            raise WrongUsageError("--report writes files, not stdout", hint="-o json prints the report")
        targets.append((name, Path(path)))
    return tuple(targets)


def checked(values: Iterable[str], own: Iterable[Path | None], given: Connection | None = None) -> Targets:
    """The targets of --report, each of which can be written as far as can be known now; looks at nothing without any.

    `own` are the files and directories that the command reads or writes, `given` where its cluster is described.

    Raises `WrongUsageError` for a path that is one of these or lies in it, is named twice, or is there and no report;
    `UnusableInputError` where no file can be made; and what reading the cluster file raises.
    """
    targets = parse(values)
    if not targets:
        return ()
    keep_apart(targets, [path for path in own if path is not None])
    if given is not None:
        keep_apart(targets, _of_cluster(given))
    for name, path in targets:
        try:
            _require_replaceable(path)
        except OSError as error:
            raise _unwritable(name, path, error) from error
    return targets


def keep_apart(targets: Targets, own: Iterable[Path]) -> None:
    """Raise `WrongUsageError` where a target is one of `own`, lies in one of them, or is another target."""
    taken = {spelled for path in own for spelled in (_place(path), Path(os.path.realpath(path)))}
    seen: set[Path] = set()
    for _, path in targets:
        place = _place(path)
        if place in seen:
            raise WrongUsageError(f"two reports cannot go to {path}", hint=_ANOTHER)
        if not taken.isdisjoint((place, *place.parents)):
            raise WrongUsageError(f"no report can go to {path}: this command works on it itself", hint=_ANOTHER)
        seen.add(place)


def deliver(report: Report, targets: Targets, show: Callable[[], None], *, quiet: bool = False) -> ExitCode:
    """Write `report` to each of `targets` and `show` it; the exit code is the higher one of its own and theirs.

    `quiet` shows it only when it is not 0, or when a report could not be written.
    """
    problems: list[KeyctlError] = []
    whole = _whole(report) if targets else report
    for name, path in targets:
        try:
            _write(path, FORMATS[name](whole) + "\n")
        except OSError as error:
            problems.append(_unwritable(name, path, error))
        except WrongUsageError as error:
            problems.append(error)
    if problems or report.exit_code or not quiet:
        show()
    for problem in problems:
        click.echo(f"error: {problem}", err=True)
        click.echo(f"cause: {problem.cause}; the result itself is on stdout", err=True)
    return max(report.exit_code, ExitCode.UNUSABLE) if problems else report.exit_code


def _whole(report: Report) -> Report:
    """`report` with what only files say: when it was made, and what the ids in it mean."""
    from keyctl.cli.catalogue import CATALOGUE

    named = {one.id for one in report.findings}
    rules = report.rules or tuple(rule for rule in CATALOGUE if rule.id in named)
    return replace(report, made=report.made or datetime.now(UTC), rules=rules)


def _of_cluster(given: Connection) -> Iterator[Path]:
    """What belongs to the cluster and to keyctl itself."""
    from keyctl.cli import wiring
    from keyctl.cluster_file.read import load
    from keyctl.cluster_file.settings import FileKeySettings

    yield from (path for path in (given.cacert, given.cert, given.key) if path is not None)
    cluster = wiring.find_cluster_file(given.cluster)
    if cluster is None:
        return
    yield cluster
    settings = load(cluster)
    yield wiring.state_directory(settings.name)
    if isinstance(settings.keys, FileKeySettings):
        yield settings.keys.directory


def _place(path: Path) -> Path:
    """Where `path` itself is, whatever the directories on the way to it are called; a link at its end stays one."""
    return Path(os.path.realpath(path.parent)) / path.name


def _require_replaceable(path: Path) -> os.stat_result | None:
    """What is at `path`, None when nothing is. Raises `OSError` and `WrongUsageError` where no report may come."""
    if not path.parent.is_dir():
        raise FileNotFoundError(None, f"there is no directory {path.parent}")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise PermissionError(None, f"this user cannot write in {path.parent}")
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        kind = "directory" if stat.S_ISDIR(found.st_mode) else "link" if stat.S_ISLNK(found.st_mode) else "special file"
        raise WrongUsageError(f"no report can go to {path}", cause=f"it is a {kind}", hint=_ANOTHER)
    if not _is_report(path):
        raise WrongUsageError(
            f"no report can go to {path}",
            cause="it holds something else than a report, which would be lost",
            hint="give the report a new name, or take away what is there",
        )
    return found


def _is_report(path: Path) -> bool:
    """Whether the regular file `path` begins as a report of ours does, or is empty."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:  # noqa: PTH123 — a descriptor, not a path
        head = file.read(_HEAD)
    return not head or head == b"[]\n" or any(head.startswith(begin) and mark in head for begin, mark in _REPORTS)


def _write(path: Path, text: str) -> None:
    """Put `text` in the place of `path`: written beside it, for its owner alone until it is whole, and renamed."""
    former = _require_replaceable(path)
    draft = path.with_name(f".keyctl-report-{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        # NOTE: what the umask left is the mode that any new file would have.
        mode = stat.S_IMODE((former or os.fstat(descriptor)).st_mode)
        os.fchmod(descriptor, 0o600)
        write_and_close(descriptor, text.encode())
        if former is not None and former.st_uid != os.geteuid():
            os.chown(draft, former.st_uid, former.st_gid)
        draft.chmod(mode)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _unwritable(name: str, path: Path, error: OSError) -> UnusableInputError:
    return UnusableInputError(
        f"cannot write the {name} report to {path}",
        cause=error.strerror,
        hint="name a file in a directory that is yours",
    )
