"""`keyctl etcd-access apply`."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import click

from keyctl.cli import accessing, report_files, terminal
from keyctl.cli.options import Connection, cluster_option, etcd_options, output_option, report_option
from keyctl.errors import InterruptedEarlyError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyctl.cli.accessing import Access
    from keyctl.findings import Report

_OFF = ("turn users and roles off: every certificate that etcd's CA has signed may then do everything",)


@click.command()
@cluster_option
@etcd_options
@accessing.party_options
@click.option("--disable", is_flag=True, help="Turn users and roles off; they are kept, and do nothing.")
@click.option("--dry-run", is_flag=True, help="Look at everything, print the plan, change nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask. Needed off a terminal.")
@output_option
@report_option
@click.option("-q", "--quiet", is_flag=True, help="No progress; the result and errors still show.")
@click.pass_context
def apply(
    ctx: click.Context,
    /,
    disable: bool,
    dry_run: bool,
    yes: bool,
    output: str,
    reports: tuple[str, ...],
    quiet: bool,
    **given: object,
) -> None:
    """Make etcd's users and roles and turn them on, so that nobody who needs etcd is locked out.

    Users and roles first, then they are turned on, then every certificate is tried at every
    member: the API servers' reads and writes, the auditor's reads and does not write, the backup's
    takes snapshots. Where one is refused, they are turned off again (exit 6). To be run again after
    any stop. Every other certificate is locked out of all values: name those that you need.

    \b
    Examples:
      keyctl etcd-access apply --cert root.crt --key root.key --apiserver-cert client.crt --compaction etcd
      keyctl etcd-access apply --compaction apiserver --auditor-cert auditor.crt --dry-run
      keyctl etcd-access apply --disable --yes
    """  # noqa: D301 — click reads the \b
    connection = Connection.from_options(given)
    targets = report_files.checked(reports, (), connection)
    act = _Act(dry_run=dry_run, yes=yes, output=output, quiet=quiet)
    with accessing.access(connection, given, nobody=disable) as found:
        report = act.disable(found) if disable else act.enable(found)
    ctx.exit(report_files.deliver(report, targets, lambda: terminal.show(report, output)))


class _Act:
    """The work, and what the user wants to see of it and be asked."""

    def __init__(self, *, dry_run: bool, yes: bool, output: str, quiet: bool) -> None:
        self._dry_run, self._yes, self._output, self._quiet = dry_run, yes, output, quiet

    def enable(self, found: Access) -> Report:
        """Bring everything to what is wanted, or say how."""
        from keyctl.etcd_access.apply import Applier
        from keyctl.etcd_access.guards import require_safe
        from keyctl.etcd_access.report import done_report, plan_lines, plan_report, remarks

        # Before anything is looked at: what is missing for the proof is known now.
        site = found.site()
        with self._alone(found):
            situation = found.situation()
            require_safe(situation, found.wanted)
            if self._dry_run:
                return plan_report(situation, found.wanted, found.compactor, found.again, found.others)
            notes = remarks(found.wanted, found.compactor, found.others)
            lines = plan_lines(situation, found.wanted)
            self._confirm((*(f"{number}. {line}" for number, line in enumerate(lines, 1)), *notes))
            trials = Applier(site, found.wanted, self._say()).apply()
        return done_report(found.wanted, trials, notes)

    def disable(self, found: Access) -> Report:
        """Turn users and roles off, or say that it would be done."""
        from keyctl.etcd_access.apply import is_on, turn_off
        from keyctl.etcd_access.report import off_report

        site = found.way_out()
        with self._alone(found):
            on = is_on(site)
            if self._dry_run:
                return off_report(was_on=on, dry_run=True, others=found.others)
            if on:
                self._confirm(_OFF)
            turn_off(site)
        return off_report(was_on=on, dry_run=False, others=found.others)

    def _alone(self, found: Access) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext() if self._dry_run else accessing.alone(found)

    def _say(self) -> Callable[[str], None]:
        return lambda line: None if self._quiet else click.echo(f"   {line}", err=True)

    def _confirm(self, lines: tuple[str, ...]) -> None:
        if self._output != "json" and not (self._quiet and self._yes):
            click.echo("\n".join(lines), err=True)
        if self._yes:
            return
        if not sys.stdin.isatty() or self._output == "json":
            raise RefusedError(
                "this changes who may use etcd and nobody is there to ask", hint="say --yes, or --dry-run"
            )
        try:
            agreed = click.confirm("Go on?", err=True)
        except click.Abort as exc:
            raise InterruptedEarlyError("interrupted; nothing was changed") from exc
        if not agreed:
            raise InterruptedEarlyError("not confirmed; nothing was changed")
