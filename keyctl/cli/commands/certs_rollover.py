"""`keyctl certs rollover`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyctl.cli import issued, terminal
from keyctl.cli.options import cluster_option, output_option
from keyctl.errors import WrongUsageError

if TYPE_CHECKING:
    from keyctl.rotation.journal import Journal

_CA_DAYS = 3650


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@cluster_option
@click.option("--resume", is_flag=True, help="Go on with the one that is under way, whichever way it goes.")
@click.option("--abort", is_flag=True, help="Go back to the old CA. Not once the old one is leaving.")
@click.option("--clients-done", is_flag=True, help="With --resume: the clients it stopped for have their files.")
@issued.days_option("--days", issued.LIFETIME_DAYS, "How long the new certificates hold.")
@issued.days_option("--ca-days", _CA_DAYS, "How long the new CAs hold.")
@click.option("--dry-run", is_flag=True, help="Look at everybody, print the plan, change nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask. Needed off a terminal.")
@output_option
@click.option("-q", "--quiet", is_flag=True, help="No progress; the result and errors still show.")
def rollover(
    directory: Path,
    cluster: Path | None,
    resume: bool,
    abort: bool,
    clients_done: bool,
    days: int,
    ca_days: int,
    dry_run: bool,
    yes: bool,
    output: str,
    quiet: bool,
) -> None:
    """Replace the CAs of a running etcd, so that nobody is locked out at any instant.

    New CAs and certificates are made in DIR/next. Then, one host after the other, everybody trusts
    both CAs, then everybody gets certificates of the new ones, then the old ones leave. Members and
    API servers are restarted one at a time, and each is seen to do what it must before the next.
    May be stopped at any moment (exit 6): --resume goes on, --abort goes back.

    \b
    Examples:
      keyctl certs rollover etcd-pki --cluster keyctl.yaml --dry-run
      keyctl certs rollover etcd-pki --cluster keyctl.yaml
      keyctl certs rollover etcd-pki --cluster keyctl.yaml --resume --yes
      keyctl certs rollover etcd-pki --cluster keyctl.yaml --abort
    """  # noqa: D301 — click reads the \b
    if resume and abort:
        raise WrongUsageError("--resume goes on and --abort goes back", hint="give one of them")
    if clients_done and not resume:
        raise WrongUsageError("--clients-done goes with --resume", hint="it says that the clients named there have it")
    from keyctl.cli import renewing, rolling, wiring

    settings = wiring.require_cluster(cluster)
    renewing.require_certificates(settings)
    root = directory.absolute()
    act = rolling.Act(settings, root, yes=yes, output=output, quiet=quiet)
    if dry_run:
        report = act.show(renewing.read_journal(settings), resume=resume, abort=abort)
    else:
        with renewing.alone(settings) as journal, renewing.again(lambda: _again(journal, directory, cluster)):
            if abort:
                report = act.abort(journal)
            elif resume:
                report = act.resume(journal, handed=clients_done)
            else:
                report = act.begin(journal, timedelta(days=days), timedelta(days=ca_days))
    terminal.show(report, output)


def _again(journal: Journal, directory: Path, cluster: Path | None) -> str:
    """The command that goes on, or begins where nothing was begun."""
    from keyctl.cli import renewing
    from keyctl.renewing.rollover import under_way

    named = ("--cluster", cluster) if cluster else ()
    return renewing.words("rollover", directory, *named, "--resume" if under_way(journal) else None)
