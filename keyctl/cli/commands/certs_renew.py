"""`keyctl certs renew`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyctl.cli import issued, terminal
from keyctl.cli.files import name_of
from keyctl.cli.terminal import output_choice
from keyctl.errors import ExitCode, InterruptedEarlyError, RefusedError
from keyctl.file_argument import file_argument
from keyctl.findings import Report, Table

if TYPE_CHECKING:
    from keyctl.pki.renewal import Renewal

WITHIN_DAYS = 30


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--member", "members", multiple=True, metavar="NAME", help="This member, whenever it ends. Repeatable.")
@click.option("--client", "clients", multiple=True, metavar="NAME", help="This client, whenever it ends. Repeatable.")
@issued.days_option("--within", WITHIN_DAYS, "Without names: all that end within so many days.")
@issued.days_option("--days", issued.LIFETIME_DAYS, "How long the new certificates hold.")
@click.option("--dry-run", is_flag=True, help="Show what would be renewed; change nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask. Needed off a terminal.")
@click.option("-o", "--output", default="text", callback=output_choice, help="text, wide or json.")
def renew(
    directory: Path,
    members: tuple[str, ...],
    clients: tuple[str, ...],
    within: int,
    days: int,
    dry_run: bool,
    yes: bool,
    output: str,
) -> None:
    """Renew certificates of members and clients in DIR from the same CAs: new keys, the same names.

    Only DIR changes, a folder at a time, each whole or not at all; the former keys there are
    erased. Hosts keep what they have, which holds until its end: put each folder on its host in
    the place of the former one. The CAs are not renewed.

    \b
    Examples:
      keyctl certs renew etcd-pki --dry-run
      keyctl certs renew etcd-pki --within 60
      keyctl certs renew etcd-pki --member m1 --client kube-apiserver --yes
    """  # noqa: D301 — click reads the \b
    from keyctl.pki import renewal
    from keyctl.pki.authority import Terms

    now = datetime.now(UTC)
    terms = Terms(now, timedelta(days=days))
    if not dry_run:
        renewal.mend(directory)
    chosen = renewal.due(directory, members=members, clients=clients, now=now, within=timedelta(days=within))
    if chosen and not (dry_run or yes):
        _ask(chosen, output)
    done = chosen if dry_run else tuple(renewal.renew(directory, chosen, terms))
    terminal.show(_report(directory, done, terms.now + terms.lifetime, dry_run=dry_run), output)


def _ask(chosen: tuple[Renewal, ...], output: str) -> None:
    if not sys.stdin.isatty() or output == "json":
        raise RefusedError("this replaces keys and nobody is there to ask", hint="say --yes, or --dry-run")
    names = ", ".join(f"{one.use} {one.party.name}" for one in chosen)
    try:
        agreed = click.confirm(f"Renew {names}? The former keys in this directory are erased.", err=True)
    except click.Abort as exc:
        raise InterruptedEarlyError("interrupted; nothing was changed") from exc
    if not agreed:
        raise InterruptedEarlyError("not confirmed; nothing was changed")


def _report(directory: Path, done: tuple[Renewal, ...], until: datetime, *, dry_run: bool) -> Report:
    rows = tuple(
        (one.party.name, one.use, f"{one.until:%Y-%m-%d}", f"{until:%Y-%m-%d}", str(one.folder)) for one in done
    )
    data: dict[str, object] = {
        "directory": str(directory),
        "dryRun": dry_run,
        "renewed": [dict(zip(("name", "use", "former", "until", "folder"), row, strict=True)) for row in rows],
    }
    tables = (Table(("NAME", "USE", "ENDED", "UNTIL", "FOLDER"), rows),) if rows else ()
    steps: tuple[str, ...] = ()
    if not done:
        verdict = "nothing is to be renewed"
    elif dry_run:
        verdict = f"{len(done)} would be renewed; nothing was changed"
    else:
        verdict = f"{len(done)} renewed in {directory}; hosts still have the former ones"
        steps = (
            "put each folder on its host in the place of the former one",
            f"keyctl certs check {file_argument(name_of(directory))}",
        )
    return Report("CertificatesRenewed", ExitCode.OK, verdict, (), data, tables, next_steps=steps)
