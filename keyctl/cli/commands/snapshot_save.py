"""`keyctl snapshot save`."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from keyctl.cli import terminal
from keyctl.cli.options import Connection, cluster_option, etcd_options, output_option, report_option
from keyctl.errors import WrongUsageError

if TYPE_CHECKING:
    from keyctl.backup.save import Job
    from keyctl.cli.verification import Target
    from keyctl.keys.interface import KeyStore

_EVERY_SECONDS = 0.2
_LINE_SECONDS = 10.0


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@cluster_option
@etcd_options
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
    encryption_config: Path | None,
    output: str,
    reports: tuple[str, ...],
    quiet: bool,
    **given: object,
) -> None:
    """Save a snapshot of etcd to FILE, over mutual TLS, and beside it a manifest of the keys that it needs.

    Streamed to a file that only its owner can read, under a temporary name until its
    SHA-256 was found right. Then every value in it is read, and FILE.keyctl.json says
    what it is: cluster, revision, keys by fingerprint, counts. The key store's register
    learns of it, so that no key is destroyed which it needs. Never overwrites a file.
    Exits 12 when values in it do not open, 10 when it has none; the file stays.

    \b
    Examples:
      keyctl snapshot save /backup/prod-1.db
      keyctl snapshot save /backup/prod-1.db --encryption-config enc.yaml
      keyctl snapshot save /backup/prod-1.db -o json | jq .manifest.keys
    """  # noqa: D301 — click reads the \b
    targets = terminal.parse_report_targets(reports)
    from keyctl.backup import save as use_case
    from keyctl.backup.save_report import to_report
    from keyctl.cli import verification

    use_case.check_free(None, file)
    connection = Connection.from_options(given)
    progress = None if quiet else _Progress()
    with verification.target(connection, encryption_config, revision=0) as found, _stoppable():
        job, notes = _job(found, connection)
        saved = use_case.save(job, file, progress=progress)
    report = to_report(saved, (*found.notes, *found.unread, *notes))
    terminal.write_reports(report, targets)
    if not (quiet and report.exit_code == 0):
        terminal.show(report, output)
    ctx.exit(report.exit_code)


def _job(found: Target, given: Connection) -> tuple[Job, tuple[str, ...]]:
    """What is saved, and what the reader should know of it."""
    from keyctl.backup.save import Job
    from keyctl.cli.wiring import SystemClock
    from keyctl.etcd_files.source import SnapshotSource

    store, notes = _store(found, given)
    if len(found.configs) > 1:
        notes = (*notes, "the API servers have different encryption configurations; the first one was used")
    if len(found.etcds) > 1:
        others = ", ".join(found.connections[number].endpoints[0] for number in range(1, len(found.etcds)))
        notes = (*notes, f"not in it is what lies in etcds of their own: {others}; save each with --endpoints")
    return Job(found.etcds[0], found.prefix, found.configs[0], store, SnapshotSource, SystemClock()), notes


def _store(found: Target, given: Connection) -> tuple[KeyStore | None, tuple[str, ...]]:
    """The key store whose register is told; None, with the reason, where it would be the wrong one."""
    from keyctl.cli import wiring

    if found.settings is None:
        return None, ()
    etcd = found.settings.etcd
    known = {*etcd.connection.endpoints, *(member.endpoint for member in etcd.members)}
    if given.endpoints and not known.issuperset(found.connections[0].endpoints):
        return None, ("no register was told of it: --endpoints are not those of the cluster file",)
    try:
        return wiring.key_store(found.settings), ()
    except WrongUsageError as error:
        return None, (f"no register was told of it: {error}",)


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM ends it as Ctrl-C does, so that no half of a file stays."""

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 — signal's signature
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Progress:
    """How much has arrived, on stderr: one line that changes on a terminal, a line every 10 s elsewhere."""

    def __init__(self) -> None:
        self._screen = terminal.screen(sys.stderr)
        self._begun = self._told = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        last = done >= total and self._screen.terminal
        if not last and now - self._told < (_EVERY_SECONDS if self._screen.terminal else _LINE_SECONDS):
            return
        self._told = now
        rate = done / max(now - self._begun, 0.001)
        left = (total - done) / rate if rate else 0.0
        line = f"{done / 1e6:.0f} of {total / 1e6:.0f} MB, {rate / 1e6:.0f} MB/s, about {left:.0f} s left"
        if self._screen.terminal:
            click.echo(f"\r\x1b[K{line}" + ("\n" if last else ""), nl=False, err=True)
        else:
            click.echo(line, err=True)
