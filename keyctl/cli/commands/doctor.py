"""`keyctl doctor`."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyctl.cli import report_files, terminal
from keyctl.cli.options import Connection, cluster_option, etcd_options, output_option, report_option
from keyctl.errors import RefusedError, WrongUsageError
from keyctl.findings import Report

if TYPE_CHECKING:
    from keyctl.cli.checkup.examine import Examination

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@cluster_option
@etcd_options
@click.option(
    "--encryption-config",
    "configurations",
    type=_FILE,
    multiple=True,
    metavar="FILE",
    help="An old copy or a backup of an encryption configuration: its keys are tried, too. Repeatable.",
)
@click.option(
    "--key-file",
    "key_files",
    type=_FILE,
    multiple=True,
    metavar="FILE",
    help="A single key to be tried: a key file of a key store, or the base64 of the key. Repeatable.",
)
@click.option(
    "--union-config",
    metavar="FILE",
    help="Write the configuration that reads everything to this new file, 0600; .json for JSON, - for stdout. "
    "It holds key bytes.",
)
@click.option("--bundle", type=_FILE, metavar="FILE", help="Write a .tar.gz without keys and Secrets, to ask for help.")
@output_option
@report_option
@click.option("-q", "--quiet", is_flag=True, help="Print nothing when all is right; the exit code stays the same.")
@click.pass_context
def doctor(
    ctx: click.Context,
    /,
    configurations: tuple[Path, ...],
    key_files: tuple[Path, ...],
    union_config: str | None,
    bundle: Path | None,
    output: str,
    reports: tuple[str, ...],
    quiet: bool,
    **given: object,
) -> None:
    """Look at all that keyctl depends on, and at rotations that were left half done, by whatever tool.

    For etcd, the API servers, their hosts, the key store and the snapshots: can it be
    reached, are we allowed, is it sane, and what mends it. Every stored value is opened
    with every key there is: those of the servers' files, of the key store, and of the
    files given here. So it says whether anything is lost, which key holds how many
    values, which server cannot read what another writes, and the next safe step.

    Changes nothing in the cluster. Exits 0 when nothing is wrong (warnings aside), 20
    when something is, and 4 when something could not be looked at. Without a cluster
    file it looks at this control-plane node by its API server's manifest.

    \b
    Examples:
      keyctl doctor
      keyctl doctor --encryption-config enc.yaml.old --key-file old.key
      keyctl doctor --union-config union.yaml
      keyctl doctor --bundle for-support.tar.gz
      keyctl doctor -o json | jq '.checks[] | select(.outcome != "ok")'
    """  # noqa: D301 — click reads the \b
    if union_config == "-" and (output != "text" or quiet):
        raise WrongUsageError("--union-config - takes stdout for itself", hint="leave -o and -q out, or name a file")
    connection = Connection.from_options(given)
    own = (*configurations, *key_files, bundle, _path(union_config))
    targets = report_files.checked(reports, own, connection)
    from keyctl.cli.checkup import bundle as bundles
    from keyctl.cli.checkup import given as files
    from keyctl.cli.checkup import subject
    from keyctl.cli.checkup.examine import examine, see
    from keyctl.cli.checkup.report import to_report

    known = files.read(configurations, key_files)
    for path, what in ((bundle, "the bundle"), (_path(union_config), "the union configuration")):
        if path is not None and path.exists():
            raise RefusedError(f"{path} exists already", hint=f"give {what} a new name, or move the old one away")
    found = examine(see(subject.find(connection), known), union=union_config is not None)
    report = to_report(found)
    show = partial(_show_all, found, report, output, err=union_config == "-")
    exit_code = report_files.deliver(report, targets, show, quiet=quiet and output != "json")
    if bundle is not None:
        bundles.write(bundle, found, report)
        click.echo(f"bundle: {bundle}; it holds no key bytes and no Secrets, but names of both", err=True)
    if union_config is not None:
        _write_union(union_config, found)
    ctx.exit(exit_code)


def _path(name: str | None) -> Path | None:
    return None if name in (None, "-") else Path(str(name))


def _show_all(found: Examination, report: Report, output: str, *, err: bool) -> None:
    if output == "json":
        terminal.show(report, output)
    else:
        _show(found, err=err)


def _show(found: Examination, *, err: bool) -> None:
    from keyctl.cli.checkup import report
    from keyctl.reports import checklist

    here = terminal.screen(sys.stderr if err else sys.stdout)
    text = checklist.render(report.sections(found), width=here.width, color=here.color, unicode=here.unicode)
    closing = report.closing(found, here.width)
    closing = closing if here.unicode else closing.encode("ascii", "backslashreplace").decode("ascii")
    click.echo(f"{text}\n\n{closing}", color=here.color, err=err)


def _write_union(name: str, found: Examination) -> None:
    from keyctl.cli.checkup.writing import write_new

    union = found.diagnosis.union
    if union is None:
        raise RefusedError(
            "there is no union configuration to write",
            cause="no server's encryption configuration could be read, and no stored value is encrypted",
            hint="see what is in the way: keyctl doctor",
        )
    if union.lacking:
        raise RefusedError(
            "there is no union configuration to write",
            cause=f"how the KMS plugin {', '.join(union.lacking)} is reached stands in no file at hand",
            hint="give a file that says it: keyctl doctor --encryption-config OLD.yaml",
        )
    content = union.text(as_json=name.endswith(".json"))
    if name == "-":
        click.echo(content.decode(), nl=False)
        return
    write_new(Path(name), content, "the union configuration")
    click.echo(f"union configuration: {name}; it holds key bytes", err=True)
