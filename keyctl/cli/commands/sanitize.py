"""`keyctl sanitize`."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyctl.cli import terminal
from keyctl.cli.options import Connection, cluster_option, etcd_options, output_option, report_option
from keyctl.errors import InterruptedEarlyError, RefusedError
from keyctl.findings import Report

if TYPE_CHECKING:
    from keyctl.backup.interface import Watch
    from keyctl.backup.sanitize import SanitizePlan, Site
    from keyctl.cli.verification import Target
    from keyctl.cluster_file.settings import EtcdConnection
    from keyctl.etcd.interface import MaintainedEtcd
    from keyctl.keys.backups import Backup
    from keyctl.keys.key import KeyRef
    from keyctl.rotation.world import Event


@click.command()
@cluster_option
@etcd_options
@click.option(
    "--encryption-config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Judge what is left by this file. Default: what the API servers' hosts have.",
)
@click.option("--dry-run", is_flag=True, help="Look at every member, print the plan, change nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask. Needed off a terminal.")
@output_option
@report_option
@click.option("-q", "--quiet", is_flag=True, help="No progress; the result and errors still show.")
@click.pass_context
def sanitize(
    ctx: click.Context,
    /,
    encryption_config: Path | None,
    dry_run: bool,
    yes: bool,
    output: str,
    reports: tuple[str, ...],
    quiet: bool,
    **given: object,
) -> None:
    """Free etcd's own files of what was overwritten, and show what a backup of it would still hold.

    Compacts to the newest revision, then defragments one member after the other, the
    leader last, each only while all members are well; a member answers nobody
    meanwhile. Then a fresh snapshot of each member is read, its freed pages too, and is
    gone again. Live values are never touched: what stands in plaintext needs keyctl
    enable first. What no defragmentation reaches is listed. Safe to stop at any moment.
    Where etcd takes no writes for want of space (alarm NOSPACE), the alarm is taken back
    in the end, if there is room then; otherwise it exits 6. Exits as keyctl
    verify-secrets does with --residue.

    \b
    Examples:
      keyctl sanitize --dry-run
      keyctl sanitize --yes
      keyctl sanitize --endpoints https://10.0.0.1:2379,https://10.0.0.2:2379,https://10.0.0.3:2379
    """  # noqa: D301 — click reads the \b
    targets = terminal.parse_report_targets(reports)
    from keyctl.cli import verification

    connection = Connection.from_options(given)
    wish = _Wish(dry_run=dry_run, yes=yes, output=output, quiet=quiet)
    with contextlib.ExitStack() as stack:
        found = stack.enter_context(verification.target(connection, encryption_config, revision=0))
        report, lines = _work(stack, found, connection, wish)
    terminal.write_reports(report, targets)
    if dry_run and output != "json":
        click.echo("\n".join((*lines, "Nothing was changed.")))
    else:
        terminal.show(report, output)
    ctx.exit(report.exit_code)


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the user asked for beside the work itself."""

    dry_run: bool
    yes: bool
    output: str
    quiet: bool


def _work(stack: contextlib.ExitStack, found: Target, given: Connection, wish: _Wish) -> tuple[Report, tuple[str, ...]]:
    """Plan, ask, and carry out; what came of it, and the plan in lines."""
    from keyctl.backup import sanitize_report
    from keyctl.backup.sanitize import Sanitizer, carry_out_all
    from keyctl.cli.changing import Stop
    from keyctl.cli.signals import handled

    told = stack.enter_context(_Told(quiet=wish.quiet))
    stop = Stop(told)
    backups, deactivated = found.register()
    sites = _sites(stack, found, given, deactivated)
    stack.enter_context(handled(stop.ask))
    workers = [Sanitizer(site, say=told.say, pause=stop.pause, watch=told.watch) for site in sites]
    plans = [worker.plan() for worker in workers]
    lines = (*sanitize_report.outline(plans), *_out_of_reach(backups))
    if wish.dry_run:
        return sanitize_report.plan_report(plans, backups), lines
    stack.enter_context(_alone(found, plans[0]))
    _confirm(sanitize_report.outline(plans) if wish.yes else lines, wish)
    stop.working = True
    done = carry_out_all(tuple(zip(workers, plans, strict=True)))
    return sanitize_report.to_report(done, backups, _notes(found)), lines


def _notes(found: Target) -> tuple[str, ...]:
    notes = (*found.notes, *found.unread)
    if found.configs[0] is None:
        return *notes, "no encryption configuration was found: plaintext of secrets was looked for, and no retired key"
    if len(found.configs) > 1:
        return *notes, "the API servers have different encryption configurations; judged by the first one"
    return notes


def _out_of_reach(backups: tuple[Backup, ...]) -> tuple[str, ...]:
    from keyctl.backup import sanitize_report

    return "What this does not reach:", *(f"  - {line}" for line in sanitize_report.remains(backups))


def _confirm(lines: tuple[str, ...], wish: _Wish) -> None:
    if wish.output != "json" and not (wish.quiet and wish.yes):
        click.echo("\n".join(lines), err=True)
    if wish.yes:
        return
    if not sys.stdin.isatty() or wish.output == "json":
        raise RefusedError("this changes etcd's files and nobody is there to ask", hint="say --yes, or --dry-run")
    try:
        agreed = click.confirm("Go on?", err=True)
    except click.Abort as exc:
        raise InterruptedEarlyError("interrupted; nothing was changed") from exc
    if not agreed:
        raise InterruptedEarlyError("not confirmed; nothing was changed")


def _sites(
    stack: contextlib.ExitStack, found: Target, given: Connection, deactivated: frozenset[KeyRef]
) -> tuple[Site, ...]:
    from keyctl.backup.sanitize import Site
    from keyctl.cli import wiring
    from keyctl.etcd_files.source import SnapshotSource

    def connect(settings: EtcdConnection) -> MaintainedEtcd:
        client = wiring.etcd(settings)
        stack.callback(client.close)
        return client

    sites = []
    for number, connection in enumerate(found.connections):
        members = _members(found, given) if number == 0 else ()
        alone = members or tuple(replace(connection, endpoints=(url,)) for url in connection.endpoints)
        sites.append(
            Site(
                etcd=connect(connection),
                members=tuple(map(connect, alone)),
                prefix=found.prefix,
                config=found.configs[0],
                open_snapshot=SnapshotSource,
                scratch=Path(tempfile.gettempdir()),
                clock=wiring.SystemClock(),
                deactivated=deactivated,
                label="etcd" if number == 0 else f"etcd of {connection.endpoints[0]}",
            )
        )
    return tuple(sites)


def _members(found: Target, given: Connection) -> tuple[EtcdConnection, ...]:
    """A connection to each member that the cluster file lists; none where flags say where etcd is."""
    if found.settings is None or given.endpoints:
        return ()
    main = found.connections[0]
    return tuple(
        replace(main, endpoints=(member.endpoint,), server_name=member.server_name or main.server_name)
        for member in found.settings.etcd.members
    )


@contextlib.contextmanager
def _alone(found: Target, plan: SanitizePlan) -> Iterator[None]:
    """One keyctl at a time works on this cluster from this machine: two would take two members away at once."""
    from keyctl.cli import wiring
    from keyctl.rotation.journal import LocalLock

    name = found.settings.name if found.settings else f"etcd-{plan.cluster_id}"
    lock = LocalLock(wiring.state_directory(name))
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


class _Told(contextlib.ExitStack):
    """What is being done, in lines, and how far the reading of a snapshot has come, in one that changes."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__()
        self._quiet = quiet

    def say(self, line: str) -> None:
        """A line about an act."""
        self.close()
        if not self._quiet:
            click.echo(f"   {line}", err=True)

    def event(self, event: Event) -> None:
        """See `Reporter.event`."""
        self.say(event.message)

    def watch(self, name: str) -> Watch:
        """Who watches the snapshot of the member `name`."""
        from keyctl.backup.interface import Unwatched
        from keyctl.cli.watching import Lines

        self.close()
        return Unwatched() if self._quiet else self.enter_context(Lines(f"   {name}"))
