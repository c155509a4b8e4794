"""`keyctl snapshot save`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyctl.cli import kept_backups, report_files, sealed_snapshots, terminal
from keyctl.cli.options import Connection, cluster_option, etcd_options, output_option, report_option
from keyctl.cli.snapshot_names import written
from keyctl.errors import WrongUsageError

if TYPE_CHECKING:
    from datetime import datetime

    from keyctl.backup.interface import Watch
    from keyctl.backup.save import Job
    from keyctl.cli.kept_backups import Wish
    from keyctl.cli.verification import Target
    from keyctl.findings import Report
    from keyctl.keys.interface import KeyStore

_KIND = "SnapshotSaveReport"


@click.command()
@click.argument("file", type=click.Path(), callback=written)
@cluster_option
@etcd_options
@click.option(
    "--etcd", "wanted", metavar="NAME", help="Save this one only: main, or a resource that has an etcd of its own."
)
@click.option(
    "--encryption-config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The configuration in force. Default: what the API servers' hosts have.",
)
@sealed_snapshots.recipient_options
@click.option(
    "--scratch",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="With --encrypt-to: where it may lie open until it was looked through. Default: the temporary directory.",
)
@click.option(
    "--keep",
    metavar="POLICY",
    help="Then delete former ones that were saved so: last=7,daily=14,weekly=8,monthly=12; hourly and yearly, too.",
)
@click.option(
    "--no-copies",
    is_flag=True,
    help="With --keep: what is deleted has no copies elsewhere, so its keys need not be held back.",
)
@click.option("--dry-run", is_flag=True, help="With --keep: save and delete nothing, show what would be.")
@output_option
@report_option
@click.option("-q", "--quiet", is_flag=True, help="No progress, and nothing on stdout when all is right.")
@click.pass_context
def save(
    ctx: click.Context,
    /,
    file: Path,
    wanted: str | None,
    encryption_config: Path | None,
    recipients_file: Path | None,
    dry_run: bool,
    output: str,
    reports: tuple[str, ...],
    quiet: bool,
    **given: object,
) -> None:
    """Save a snapshot of etcd to FILE, over mutual TLS, and beside it a manifest of the keys that it needs.

    Streamed to a file that only its owner can read, under a temporary name until its
    SHA-256 was found right; what a run that was killed left of it (.FILE.*.part), the
    next one for FILE takes away. Then every value in it is read, and FILE.keyctl.json
    says what it is: cluster, revision, keys by fingerprint, counts. The key store's
    register learns of it, so that no key is destroyed which it needs. Never overwrites a file.
    An etcd that the API servers use for some resources is saved too, beside FILE under
    a name with the resource in it. Exits 12 when values in it do not open, 10 when it
    has none, 15 when a configuration was not readable and the manifest so does not know
    every key, 6 when not every etcd was saved; what was saved stays.

    FILE may be a directory: the snapshot gets the cluster's name and the time. With
    --encrypt-to it lies open in a private directory until every page was looked at, and only
    then comes to FILE, encrypted with age. With --keep, once all is saved and right, former
    ones that were saved so are deleted; none that is in doubt or was saved without --keep.

    \b
    Examples:
      keyctl snapshot save /backup/prod-1.db
      keyctl snapshot save /backup --encrypt-to age1... --keep last=7,daily=14,weekly=8,monthly=12
      keyctl snapshot save /backup --keep last=3 --dry-run
      keyctl snapshot save /backup/prod-1.db --encryption-config enc.yaml
      keyctl snapshot save /backup/prod-1.events.db --etcd events
      keyctl snapshot save /backup/prod-1.db -o json | jq .manifest.keys
    """  # noqa: D301 — click reads the \b
    from keyctl.backup.keep_report import to_plan
    from keyctl.backup.manifest import beside
    from keyctl.cli import verification

    connection = Connection.from_options(given)
    targets = _targets(reports, file, (encryption_config, recipients_file), connection)
    with contextlib.ExitStack() as work:
        work.enter_context(kept_backups.told_when_it_fails(_KIND, () if dry_run else targets, file, None))
        wish = kept_backups.Wish.from_options(given, recipients_file, dry_run=dry_run)
        target = verification.target(connection, encryption_config, revision=0, tolerant=True)
        found = work.enter_context(target)
        jobs, notes = _jobs(found, connection, file, wanted, wish)
        report_files.keep_apart(targets, [taken for _, path in jobs for taken in (path, beside(path))])
        if dry_run:
            report = to_plan(kept_backups.planned(jobs, wish, _now()), (*found.notes, *notes))
        else:
            config = ("--encryption-config", str(encryption_config)) if encryption_config else ()
            flags = (*connection.words, *config, *wish.words)
            report = _saved(jobs, wish, (*found.notes, *found.unread, *notes), flags, quiet=quiet)
    ctx.exit(report_files.deliver(report, targets, lambda: terminal.show(report, output), quiet=quiet))


def _targets(
    reports: tuple[str, ...], file: Path, read: tuple[Path | None, ...], connection: Connection
) -> report_files.Targets:
    """Where reports go. They may lie in a directory of backups, but not at the name of one."""
    from keyctl.backup.manifest import beside
    from keyctl.backup.save import check_free

    if kept_backups.is_directory(file):
        return report_files.checked(reports, read, connection)
    targets = report_files.checked(reports, (file, beside(file), *read), connection)
    check_free(None, file)
    return targets


def _saved(
    jobs: list[tuple[Job, Path]], wish: Wish, notes: tuple[str, ...], flags: tuple[str, ...], *, quiet: bool
) -> Report:
    """Save every etcd, and then let the policy delete; what came of both."""
    from keyctl.backup.save_all import save_all
    from keyctl.backup.save_report import to_report

    with contextlib.ExitStack() as watches:

        def watch(name: str) -> Watch:
            from keyctl.backup.interface import Unwatched
            from keyctl.cli.watching import Lines

            watches.close()
            return Unwatched() if quiet else watches.enter_context(Lines(name if len(jobs) > 1 else ""))

        outcome = save_all(jobs, watch, flags)
    rotations = kept_backups.rotated(jobs, outcome, wish, _now())
    if wish.policy is not None and not rotations:
        notes = (*notes, "nothing was deleted by the policy: not everything that was to be saved is saved and right")
    if rotations:
        empty = [one.manifest.name for one in outcome.saved if not one.manifest.values]
        notes = (*notes, *(f"nothing of the etcd {name} was deleted by the policy: nothing is in it" for name in empty))
    job, path = jobs[0]
    return to_report(outcome, notes, flags, rotations, kept_backups.gauges(path.parent, job.store))


def _jobs(
    found: Target, given: Connection, file: Path, wanted: str | None, wish: Wish
) -> tuple[list[tuple[Job, Path]], tuple[str, ...]]:
    """What is saved where, and what the reader should know of it."""
    from keyctl.backup.save import Job, check_free
    from keyctl.backup.save_all import path_for
    from keyctl.cli.wiring import SystemClock
    from keyctl.etcd_files.source import SnapshotSource

    file = kept_backups.named(file, None if found.settings is None else found.settings.name, wish, _now())
    check_free(None, file)
    numbers, notes = _chosen(found, given, wanted)
    store, told = _store(found, given, numbers)
    if len(found.configs) > 1:
        told = (*told, "the API servers have different encryption configurations; the keys of all of them were used")
    jobs = []
    for number in numbers:
        name = found.names[number]
        job = Job(
            etcd=found.etcds[number],
            prefix=found.prefix,
            config=found.reading,
            store=store,
            open_snapshot=SnapshotSource,
            clock=SystemClock(),
            unread=found.unread,
            name=name,
            seal=wish.seal,
            keep=wish.keep,
        )
        jobs.append((job, path_for(file, name) if len(numbers) > 1 else file))
    return jobs, (*notes, *told)


def _now() -> datetime:
    from keyctl.cli.wiring import SystemClock

    return SystemClock().now()


def _chosen(found: Target, given: Connection, wanted: str | None) -> tuple[list[int], tuple[str, ...]]:
    """Which of the etcds are saved, and what is said of the others. Raises `WrongUsageError` for an unknown name."""
    everything = list(range(len(found.names)))
    if wanted is not None:
        if wanted not in found.names:
            raise WrongUsageError(f"no etcd is called {wanted}", hint=f"there are: {', '.join(found.names)}")
        chosen = [found.names.index(wanted)]
    elif given.endpoints and not _is_of_file(found):
        chosen = [0]
    else:
        chosen = everything
    others = ", ".join(found.names[number] for number in everything if number not in chosen)
    return chosen, (f"not saved, for they were not asked for: the etcds {others}",) if others else ()


def _is_of_file(found: Target) -> bool:
    """Whether the endpoints in use are those that a file names: what stands beside it there is of the same cluster."""
    if found.settings is None:
        return False
    etcd = found.settings.etcd
    known = {*etcd.connection.endpoints, *(member.endpoint for member in etcd.members)}
    known.update(endpoint for other in etcd.overrides for endpoint in other.connection.endpoints)
    return known.issuperset(found.connections[0].endpoints)


def _store(found: Target, given: Connection, chosen: list[int]) -> tuple[KeyStore | None, tuple[str, ...]]:
    """The key store whose register is told; None, with the reason, where it would be the wrong one."""
    from keyctl.cli import wiring

    if found.settings is None:
        return None, ()
    if given.endpoints and 0 in chosen and not _is_of_file(found):
        return None, ("no register was told of it: --endpoints are not those of the cluster file",)
    try:
        return wiring.key_store(found.settings), ()
    except WrongUsageError as error:
        return None, (f"no register was told of it: {error}",)
