"""`keyctl snapshot verify`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from keyctl.cli import terminal
from keyctl.cli.options import output_option, report_option
from keyctl.stored.display import display


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@output_option
@report_option
@click.option("-q", "--quiet", is_flag=True, help="Print nothing when all is right; the exit code stays the same.")
@click.pass_context
def verify(ctx: click.Context, /, files: tuple[Path, ...], output: str, reports: tuple[str, ...], quiet: bool) -> None:
    """Read every byte that counts of each FILE and say whether it is whole. Needs no etcd and no key.

    Looks at the SHA-256 at its end, at every page that the root refers to, at every
    record and its revision, and, where one is beside it, at the manifest that
    `keyctl snapshot save` wrote. Exits 0 when all are sound, 3 when one is not. A
    database that was copied from a disk has no SHA-256: that is said, and is no failure.

    \b
    Examples:
      keyctl snapshot verify /backup/prod-1.db
      keyctl snapshot verify /backup/*.db -o json | jq '.snapshots[] | select(.sound | not).file'
    """  # noqa: D301 — click reads the \b
    targets = terminal.parse_report_targets(reports)
    from keyctl.backup.check import check_snapshot, to_report
    from keyctl.etcd_files.source import SnapshotSource

    shown = terminal.screen(sys.stderr).terminal and not quiet
    checked = []
    for path in files:
        progress = _Progress(path) if shown else _silent
        checked.append(check_snapshot(path, SnapshotSource, progress))
        progress("")
    report = to_report(checked)
    terminal.write_reports(report, targets)
    if not (quiet and report.exit_code == 0):
        terminal.show(report, output)
    ctx.exit(report.exit_code)


class _Progress:
    """Which part of a file is being read, on a line of a terminal that is gone when all is done."""

    def __init__(self, path: Path) -> None:
        self._name = display(path.name)

    def __call__(self, part: str) -> None:
        click.echo(f"\r\x1b[K{self._name}: {part}" if part else "\r\x1b[K", nl=False, err=True)


def _silent(part: str) -> None:
    """Nobody watches."""
