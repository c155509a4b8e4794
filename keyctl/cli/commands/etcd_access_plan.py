"""`keyctl etcd-access plan`."""

from __future__ import annotations

import click

from keyctl.cli import accessing, report_files, terminal
from keyctl.cli.options import Connection, cluster_option, etcd_options, output_option, report_option


@click.command()
@cluster_option
@etcd_options
@accessing.party_options
@output_option
@report_option
@click.pass_context
def plan(ctx: click.Context, /, output: str, reports: tuple[str, ...], **given: object) -> None:
    """What apply would do, in order, by what etcd says now. Nothing is changed.

    Exits 5 where something forbids it: a connection that would not be root afterwards, a login
    with a password, keys that are not the API servers', a member that is not among the endpoints.

    \b
    Examples:
      keyctl etcd-access plan --cert root.crt --key root.key --apiserver-cert client.crt --compaction etcd
      keyctl etcd-access plan --compaction apiserver --auditor-cert auditor.crt --backup-cert backup.crt -o json
    """  # noqa: D301 — click reads the \b
    connection = Connection.from_options(given)
    targets = report_files.checked(reports, (), connection)
    from keyctl.etcd_access.guards import require_safe
    from keyctl.etcd_access.report import plan_report

    with accessing.access(connection, given) as found:
        situation = found.situation()
        require_safe(situation, found.wanted)
        report = plan_report(situation, found.wanted, found.compactor, found.again, found.others)
    ctx.exit(report_files.deliver(report, targets, lambda: terminal.show(report, output)))
