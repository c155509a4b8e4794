"""`keyctl sanitize`."""

from __future__ import annotations

import contextlib
import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyctl.cli import report_files, terminal
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
    verify-secrets does with --residue; with 15, too, where not every API server's
    configuration could be read, for what is left cannot all be told without.

    \b
    Examples:
      keyctl sanitize --dry-run
      keyctl sanitize --yes
      keyctl sanitize --endpoints https://10.0.0.1:2379,https://10.0.0.2:2379,https://10.0.0.3:2379
    """  # noqa: D301 — click reads the \b
    connection = Connection.from_options(given)
    targets = report_files.checked(reports, (encryption_config,), connection)
    from keyctl.cli import verification

    judged_by = () if encryption_config is None else ("--encryption-config", str(encryption_config))
    again = shlex.join(("keyctl", "sanitize", *connection.words, *judged_by))
    wish = _Wish(dry_run=dry_run, yes=yes, output=output, quiet=quiet, again=again)
    with contextlib.ExitStack() as stack:
        found = stack.enter_context(verification.target(connection, encryption_config, revision=0))
        report, lines = _work(stack, found, connection, wish)

    def show() -> None:
        if dry_run and output != "json":
            click.echo("\n".join((*lines, "Nothing was changed.")))
        else:
            terminal.show(report, output)

    ctx.exit(report_files.deliver(report, targets, show))


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the user asked for beside the work itself; `again` is the command that asks for the same anew."""

    dry_run: bool
    yes: bool
    output: str
    quiet: bool
    again: str


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
    workers = [
        Sanitizer(replace(site, again=wish.again), say=told.say, pause=stop.pause, watch=told.watch) for site in sites
    ]
    plans = [worker.plan() for worker in workers]
    lines = (*sanitize_report.outline(plans), *_out_of_reach(backups))
    if wish.dry_run:
        return sanitize_report.plan_report(plans, backups), lines
    stack.enter_context(_alone(found, plans))
    _confirm(sanitize_report.outline(plans) if wish.yes else lines, wish)
    stop.working = True
    done = carry_out_all(tuple(zip(workers, plans, strict=True)))
    return sanitize_report.to_report(done, backups, _notes(found), tuple(_missed(found))), lines


def _notes(found: Target) -> tuple[str, ...]:
    notes = (*found.notes, *found.unread)
    if len(found.configs) > 1:
        return *notes, "the API servers have different encryption configurations; the worst result by any is shown"
    return notes


def _missed(found: Target) -> Iterator[str]:
    """What is not looked for, for want of configurations."""
    missed = len(found.unread)
    if all(config is None for config in found.configs):
        why = "could be read" if missed else "was found"
        yield f"plaintext of anything but secrets, and retired keys, for no encryption configuration {why}"
    elif missed:
        of = "1 API server" if missed == 1 else f"{missed} API servers"
        yield f"what only the configuration of {of} would show, which could not be read"


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
                configs=found.configs,
                open_snapshot=SnapshotSource,
                scratch=Path(tempfile.gettempdir()),
                clock=wiring.SystemClock(),
                deactivated=deactivated,
                label="etcd" if number == 0 else f"etcd of {connection.endpoints[0]}",
            )
        )
    return tuple(sites)


def _members(found: Target, given: Connection) -> tuple[EtcdConnection, ...]:
    """A connection to each member that the cluster file lists, and to each endpoint that none of these has.

    None where flags say where etcd is. Two that lead to one member do no harm: it is worked on once.
    """
    if found.settings is None or given.endpoints:
        return ()
    main, members = found.connections[0], found.settings.etcd.members
    listed = {member.endpoint: member.server_name or main.server_name for member in members}
    others = {url: main.server_name for url in main.endpoints if url not in listed}
    return tuple(replace(main, endpoints=(url,), server_name=name) for url, name in (listed | others).items())


@contextlib.contextmanager
def _alone(found: Target, plans: Sequence[SanitizePlan]) -> Iterator[None]:
    """One keyctl at a time works on these etcds from this machine: two would take two members away at once.

    By the name of the cluster file, as every change of it; and by the ids of the etcds, for who comes without that
    file, or with another one. Raises `RefusedError`.
    """
    from keyctl.cli import wiring
    from keyctl.rotation.journal import LocalLock

    # Two plans may be of one etcd, under two addresses.
    ids = {plan.cluster_id: plan.label for plan in plans}
    words = {f"etcd-{cluster_id}": f"another keyctl is sanitizing this etcd ({ids[cluster_id]})" for cluster_id in ids}
    if found.settings is not None:
        words[found.settings.name] = f"another keyctl is changing the cluster {found.settings.name}"
    with contextlib.ExitStack() as held:
        for name, message in words.items():
            lock = LocalLock(wiring.state_directory(name))
            try:
                lock.acquire()
            except RefusedError as error:
                raise RefusedError(message, cause=error.cause, hint=error.hints, rule=error.rule) from error
            held.callback(lock.release)
        yield


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
