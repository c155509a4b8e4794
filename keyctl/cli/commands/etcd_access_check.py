"""`keyctl etcd-access check`."""

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
@click.option("-q", "--quiet", is_flag=True, help="Print nothing when the exit code is 0.")
@click.pass_context
def check(ctx: click.Context, /, output: str, reports: tuple[str, ...], quiet: bool, **given: object) -> None:
    """Are etcd's users and roles on, and no more and no less than what is needed? Nothing is changed.

    The connection must be root's. Each certificate whose private key there is is tried at every
    member. Where the cluster file names a kubeconfig, those who get at every Secret by way of the
    API are listed, to be judged by you. Exits 0 when all is as it must be, 20 for a finding, 21
    where a member, a certificate without its key, another etcd of the cluster file or the API was
    not looked at.

    \b
    Examples:
      keyctl etcd-access check --compaction apiserver --apiserver-cert apiserver-etcd-client.crt
      keyctl etcd-access check --compaction etcd --auditor-cert auditor.crt --report junit=access.xml
    """  # noqa: D301 — click reads the \b
    connection = Connection.from_options(given)
    targets = report_files.checked(reports, (), connection)
    from keyctl.etcd_access.check import judge
    from keyctl.etcd_access.proof import tried
    from keyctl.etcd_access.report import check_report

    with accessing.access(connection, given) as found:
        situation = found.situation()
        trials = tuple(tried(found.doors(), found.wanted.prefix, enabled=situation.seen.enabled))
        untried = tuple(pair.party for pair in found.pairs if pair.key is None)
        findings = judge(situation, found.wanted, trials, endpoint=found.urls[0], others=found.others, untried=untried)
        report = check_report(situation, found.wanted, (*findings, *found.readers()))
    ctx.exit(report_files.deliver(report, targets, lambda: terminal.show(report, output), quiet=quiet))
