"""`keyctl certs renew`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyctl.cli import issued, terminal
from keyctl.cli.files import name_of
from keyctl.cli.options import output_option
from keyctl.errors import ExitCode, InterruptedEarlyError, RefusedError
from keyctl.file_argument import file_argument
from keyctl.findings import Report, Table

if TYPE_CHECKING:
    from keyctl.cli.renewed_hosts import RenewedHosts
    from keyctl.pki.renewal import Renewal
    from keyctl.renewing.plan import Step

WITHIN_DAYS = 30


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--member", "members", multiple=True, metavar="NAME", help="This member, whenever it ends. Repeatable.")
@click.option("--client", "clients", multiple=True, metavar="NAME", help="This client, whenever it ends. Repeatable.")
@issued.days_option("--within", WITHIN_DAYS, "Without names: all that end within so many days.")
@issued.days_option("--days", issued.LIFETIME_DAYS, "How long the new certificates hold.")
@click.option(
    "--cluster",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also bring them to the hosts of this cluster file, one after the other.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be renewed; change nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask. Needed off a terminal.")
@output_option
def renew(
    directory: Path,
    members: tuple[str, ...],
    clients: tuple[str, ...],
    within: int,
    days: int,
    cluster: Path | None,
    dry_run: bool,
    yes: bool,
    output: str,
) -> None:
    """Renew certificates of members and clients in DIR from the same CAs: new keys, the same names.

    DIR changes a folder at a time, each whole or not at all; the former keys there are erased.
    Without --cluster hosts keep what they have, which holds until its end: put each folder on its
    host yourself. With it they are brought there, and whatever else a host has that DIR has anew:
    one member after the other is seen to show them while all others are healthy, then one API
    server after the other is restarted. To be run again after any stop. The CAs are not renewed.

    \b
    Examples:
      keyctl certs renew etcd-pki --dry-run
      keyctl certs renew etcd-pki --within 60
      keyctl certs renew etcd-pki --cluster keyctl.yaml
      keyctl certs renew etcd-pki --member m1 --client kube-apiserver --yes
    """  # noqa: D301 — click reads the \b
    from keyctl.pki import renewal
    from keyctl.pki.authority import Terms

    now = datetime.now(UTC)
    terms = Terms(now, timedelta(days=days))
    with _hosts(cluster, directory, _Agreement(dry_run=dry_run, yes=yes, output=output)) as hosts:
        if not dry_run:
            renewal.mend(directory)
        chosen = renewal.due(directory, members=members, clients=clients, now=now, within=timedelta(days=within))
        steps = hosts.steps(*_named(chosen), named=bool(members or clients)) if hosts else ()
        if (chosen or steps) and not (dry_run or yes):
            _ask(chosen, steps, output)
        done = chosen if dry_run else tuple(renewal.renew(directory, chosen, terms))
        if hosts and not dry_run:
            hosts.bring(steps, _say)
    brought = steps if hosts else None
    elsewhere = hosts.elsewhere(_named(done)[1]) if hosts else ()
    report = _report(directory, done, terms.now + terms.lifetime, brought, elsewhere=elsewhere, dry_run=dry_run)
    terminal.show(report, output)


@dataclass(frozen=True, slots=True)
class _Agreement:
    """What the user has agreed to, and where it is asked for."""

    dry_run: bool
    yes: bool
    output: str


@contextlib.contextmanager
def _hosts(cluster: Path | None, directory: Path, agreement: _Agreement) -> Iterator[RenewedHosts | None]:
    """The hosts of the cluster file, looked at and locked; None without one."""
    if cluster is None:
        yield None
        return
    from keyctl.cli import renewing, wiring
    from keyctl.cli.renewed_hosts import RenewedHosts
    from keyctl.pki import renewal

    settings = wiring.require_cluster(cluster)
    renewing.require_certificates(settings)
    found = RenewedHosts(settings, directory.absolute())
    if agreement.dry_run:
        found.require_ours(renewing.read_journal(settings))
        found.require_start()
        yield found
        return
    going = renewing.words("renew", directory, "--cluster", cluster)
    with renewing.alone(settings) as journal, renewing.again(lambda: going):
        # First: whose folder a run that was killed took out of the way would be known by nobody below.
        renewal.mend(directory)
        found.require_ours(journal)
        found.mend(_say, lambda: renewing.confirm(yes=agreement.yes, output=agreement.output))
        found.require_start()
        yield found


def _named(chosen: tuple[Renewal, ...]) -> tuple[set[str], set[str]]:
    members = {one.party.name for one in chosen if one.use == "member"}
    return members, {one.party.name for one in chosen if one.use == "client"}


def _say(line: str) -> None:
    click.echo(f"   {line}", err=True)


def _ask(chosen: tuple[Renewal, ...], steps: tuple[Step, ...], output: str) -> None:
    if not sys.stdin.isatty() or output == "json":
        raise RefusedError("this replaces keys and nobody is there to ask", hint="say --yes, or --dry-run")
    names = ", ".join(f"{one.use} {one.party.name}" for one in chosen) or "nothing in the directory"
    for step in steps:
        _say(str(step))
    then = f" and go to {len(steps)} hosts" if steps else ""
    try:
        agreed = click.confirm(f"Renew {names}{then}? The former keys in this directory are erased.", err=True)
    except click.Abort as exc:
        raise InterruptedEarlyError("interrupted; nothing was changed") from exc
    if not agreed:
        raise InterruptedEarlyError("not confirmed; nothing was changed")


def _report(
    directory: Path,
    done: tuple[Renewal, ...],
    until: datetime,
    brought: tuple[Step, ...] | None,
    *,
    elsewhere: tuple[str, ...],
    dry_run: bool,
) -> Report:
    """What was renewed; `brought` says to whom it went, None where hosts were not asked for.

    `elsewhere` are clients that were renewed and are on no host of the cluster file.
    """
    rows = tuple(
        (one.party.name, one.use, f"{one.until:%Y-%m-%d}", f"{until:%Y-%m-%d}", str(one.folder)) for one in done
    )
    data: dict[str, object] = {
        "directory": str(directory),
        "dryRun": dry_run,
        "renewed": [dict(zip(("name", "use", "former", "until", "folder"), row, strict=True)) for row in rows],
    }
    steps: tuple[str, ...] = ()
    if not done:
        verdict = "nothing is to be renewed"
    elif dry_run:
        verdict = f"{len(done)} would be renewed; nothing was changed"
    elif brought is None:
        verdict = f"{len(done)} renewed in {directory}; hosts still have the former ones"
        steps = (
            "put each folder on its host in the place of the former one",
            f"keyctl certs check {file_argument(name_of(directory))}",
        )
    else:
        verdict = f"{len(done)} renewed in {directory}"
    if brought is not None:
        data["hosts"] = [str(step) for step in brought]
        verdict += _told(brought, dry_run=dry_run)
        steps = tuple(
            f"put {directory / 'clients' / name} on its host yourself: none here has it" for name in elsewhere
        )
    tables = (Table(("NAME", "USE", "ENDED", "UNTIL", "FOLDER"), rows),) if rows else ()
    notes = tuple(str(step) for step in brought or ()) if dry_run else ()
    return Report("CertificatesRenewed", ExitCode.OK, verdict, (), data, tables, notes, steps)


def _told(brought: tuple[Step, ...], *, dry_run: bool) -> str:
    if not brought:
        return "; every host has what the directory has" if not dry_run else ""
    from keyctl.renewing.plan import GiveLeaves

    parties = ", ".join(str(step.party) for step in brought if isinstance(step, GiveLeaves))
    return f"; {'would be ' if dry_run else ''}brought to {parties}"
