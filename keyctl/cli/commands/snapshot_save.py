"""`keyctl snapshot save`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyctl.cli import report_files, terminal
from keyctl.cli.options import Connection, cluster_option, etcd_options, output_option, report_option
from keyctl.cli.snapshot_names import written
from keyctl.errors import WrongUsageError

if TYPE_CHECKING:
    from keyctl.backup.interface import Watch
    from keyctl.backup.save import Job
    from keyctl.cli.verification import Target
    from keyctl.keys.interface import KeyStore


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

    \b
    Examples:
      keyctl snapshot save /backup/prod-1.db
      keyctl snapshot save /backup/prod-1.db --encryption-config enc.yaml
      keyctl snapshot save /backup/prod-1.events.db --etcd events
      keyctl snapshot save /backup/prod-1.db -o json | jq .manifest.keys
    """  # noqa: D301 — click reads the \b
    from keyctl.backup.manifest import beside
    from keyctl.backup.save import check_free
    from keyctl.backup.save_all import save_all
    from keyctl.backup.save_report import to_report
    from keyctl.cli import verification

    connection = Connection.from_options(given)
    targets = report_files.checked(reports, (file, beside(file), encryption_config), connection)
    check_free(None, file)
    flags = (*connection.words, *(("--encryption-config", str(encryption_config)) if encryption_config else ()))
    with (
        verification.target(connection, encryption_config, revision=0, tolerant=True) as found,
        contextlib.ExitStack() as watches,
    ):
        jobs, notes = _jobs(found, connection, file, wanted)
        report_files.keep_apart(targets, [taken for _, path in jobs for taken in (path, beside(path))])

        def watch(name: str) -> Watch:
            from keyctl.backup.interface import Unwatched
            from keyctl.cli.watching import Lines

            watches.close()
            return Unwatched() if quiet else watches.enter_context(Lines(name if len(jobs) > 1 else ""))

        outcome = save_all(jobs, watch, flags)
    report = to_report(outcome, (*found.notes, *found.unread, *notes), flags)
    ctx.exit(report_files.deliver(report, targets, lambda: terminal.show(report, output), quiet=quiet))


def _jobs(
    found: Target, given: Connection, file: Path, wanted: str | None
) -> tuple[list[tuple[Job, Path]], tuple[str, ...]]:
    """What is saved where, and what the reader should know of it."""
    from keyctl.backup.save import Job
    from keyctl.backup.save_all import path_for
    from keyctl.cli.wiring import SystemClock
    from keyctl.etcd_files.source import SnapshotSource

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
        )
        jobs.append((job, path_for(file, name) if len(numbers) > 1 else file))
    return jobs, (*notes, *told)


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
