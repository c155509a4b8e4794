"""`keyctl snapshot inspect`."""

from __future__ import annotations

from pathlib import Path

import click

from keyctl.cli import report_files, terminal
from keyctl.cli.options import output_option, report_option
from keyctl.cli.snapshot_names import read_one
from keyctl.stored.display import display

_PREFIX = "/registry"


@click.command()
@click.argument("file", type=click.Path(), callback=read_one)
@click.option(
    "--encryption-config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Open the values with the keys of this file, and show their fingerprints.",
)
@click.option("--etcd-prefix", default=_PREFIX, show_default=True, help="kube-apiserver's storage prefix in that etcd.")
@output_option
@report_option
@click.option("-q", "--quiet", is_flag=True, help="No progress; the result and errors still show.")
@click.pass_context
def inspect(
    ctx: click.Context,
    /,
    file: Path,
    encryption_config: Path | None,
    etcd_prefix: str,
    output: str,
    reports: tuple[str, ...],
    quiet: bool,
) -> None:
    """Show what is in FILE, a snapshot or a copied database: which keys it needs, and what it leaks.

    Resources with their counts, live, in history and in freed pages; what stands in
    plaintext; the keys that values name; members, alarms, compaction, versions; etcd's
    users and roles (their password hashes are in the file, and are not shown). Judges
    nothing: that is keyctl verify-secrets with --snapshot.

    \b
    Examples:
      keyctl snapshot inspect /backup/prod-1.db
      keyctl snapshot inspect /backup/prod-1.db --encryption-config enc.yaml
      keyctl snapshot inspect /backup/prod-1.db -o json | jq .keys
    """  # noqa: D301 — click reads the \b
    from keyctl.backup import inspect as use_case
    from keyctl.backup.inspect_report import to_report
    from keyctl.backup.interface import Unwatched
    from keyctl.backup.manifest import beside
    from keyctl.cli import configurations
    from keyctl.cli.watching import Lines
    from keyctl.encryption_config.server import NEWEST_SERVER
    from keyctl.etcd_files.source import SnapshotSource

    targets = report_files.checked(reports, (file, beside(file), encryption_config))
    config = None
    if encryption_config is not None:
        decoded, _ = configurations.read(str(encryption_config), NEWEST_SERVER)
        config = decoded.config
    with Lines(display(file.name)) as lines:
        watch = Unwatched() if quiet else lines
        found = use_case.inspect(
            file, prefix=etcd_prefix, config=config, open_snapshot=SnapshotSource, progress=watch.reading
        )
    options = (("--encryption-config", encryption_config), ("--etcd-prefix", etcd_prefix))
    # NOTE: verify-secrets takes the prefix from the cluster file where none is given, so only another one is told.
    flags = [str(word) for option in options if option[1] not in (None, _PREFIX) for word in option]
    report = to_report(found, flags)
    ctx.exit(report_files.deliver(report, targets, lambda: terminal.show(report, output)))
