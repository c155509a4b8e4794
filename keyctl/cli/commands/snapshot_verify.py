"""`keyctl snapshot verify`."""

from __future__ import annotations

from pathlib import Path

import click

from keyctl.cli import report_files, sealed_snapshots, terminal
from keyctl.cli.options import output_option, report_option
from keyctl.cli.snapshot_names import read_several
from keyctl.stored.display import display


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(), callback=read_several)
@sealed_snapshots.identity_options
@output_option
@report_option
@click.option("-q", "--quiet", is_flag=True, help="Print nothing when all is right; the exit code stays the same.")
@click.pass_context
def verify(
    ctx: click.Context,
    /,
    files: tuple[Path, ...],
    identity: str | None,
    scratch: Path | None,
    output: str,
    reports: tuple[str, ...],
    quiet: bool,
) -> None:
    """Read every byte that counts of each FILE and say whether it is whole. Needs no etcd and no key.

    Looks at the SHA-256 at its end, at every page that the root refers to, at every
    record and its revision, and, where one is beside it, at the manifest that
    `keyctl snapshot save` wrote. Exits 0 when all are sound, 3 when one is not. A
    database that was copied from a disk has no SHA-256: that is said, and is no failure.
    Of an encrypted FILE it sees whether it was cut and whether its bytes are those that
    its manifest names; with --identity it is decrypted into a private directory, and
    looked at like any other.

    \b
    Examples:
      keyctl snapshot verify /backup/prod-1.db
      keyctl snapshot verify /backup/prod-1.db.age --identity backup.identity
      keyctl snapshot verify /backup/*.db -o json | jq '.snapshots[] | select(.sound | not).file'
    """  # noqa: D301 — click reads the \b
    from keyctl.backup.check import to_report
    from keyctl.backup.interface import Unwatched
    from keyctl.backup.manifest import beside
    from keyctl.cli.watching import Lines

    targets = report_files.checked(reports, (*files, *map(beside, files), None if identity is None else Path(identity)))
    identities = sealed_snapshots.read_identity(identity)
    checked = []
    for path in files:
        with Lines(display(path.name)) as lines:
            watch = Unwatched() if quiet else lines
            checked.append(sealed_snapshots.checked(path, identities, scratch, watch.reading))
    report = to_report(checked)
    ctx.exit(report_files.deliver(report, targets, lambda: terminal.show(report, output), quiet=quiet))
