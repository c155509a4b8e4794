"""`keyctl config validate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyctl.cli import completed, report_files, terminal
from keyctl.cli.options import fail_on_option, output_option, report_option, server_of, server_options
from keyctl.errors import ExitCode
from keyctl.findings import Finding, Report, Severity, Table

if TYPE_CHECKING:
    from keyctl.encryption_config.decode import Decoded
    from keyctl.encryption_config.judge import Judged
    from keyctl.encryption_config.server import Server

_SEVERITIES = tuple(Severity)


@click.command()
@click.argument("file", shell_complete=completed.files)
@server_options
@click.option(
    "--require",
    "required",
    multiple=True,
    metavar="R",
    help="A resource that must be encrypted, beside secrets. Repeatable.",
)
@fail_on_option(Severity.HIGH)
@output_option
@report_option
@click.option("-q", "--quiet", is_flag=True, help="Print nothing when the exit code is 0.")
@click.pass_context
def validate(
    ctx: click.Context,
    /,
    file: str,
    required: tuple[str, ...],
    fail_on: Severity | None,
    output: str,
    reports: tuple[str, ...],
    quiet: bool,
    **given: object,
) -> None:
    """Say what kube-apiserver would make of FILE, and what it would not say.

    FILE is an EncryptionConfiguration, or the static pod manifest that points at one;
    - is stdin. Exits 0 when the server takes it and nothing at or above --fail-on was
    found, 3 when it does not (each reason has its line and column), 20 for findings
    in a file that it takes without a word. Key bytes are never shown. What a finding
    means: keyctl explain KC-CFG-001.

    \b
    Examples:
      keyctl config validate enc.yaml
      keyctl config validate enc.yaml --require configmaps --require "*.apps"
      keyctl config validate enc.yaml --kubernetes-version 1.30 --fail-on medium
      cat enc.yaml | keyctl config validate - -o json | jq .accepted
    """  # noqa: D301 — click reads the \b
    from keyctl.cli.files import STDIN, name_of, read_file

    targets = report_files.checked(reports, [None if file == STDIN else Path(file)])
    server = server_of(given)
    from keyctl.cli.manifest_fixes import check_manifest_options, manifest_report
    from keyctl.cli.resources import existing
    from keyctl.encryption_config.effective import SECRETS
    from keyctl.hosts.manifest_rules import is_pod_manifest, judge_manifest

    content, name = read_file(file, "the encryption configuration"), name_of(file)
    if is_pod_manifest(content):
        check_manifest_options(ctx)
        findings = judge_manifest(content, name=name)
        report = manifest_report(file, content, findings, serious=bool(_serious(findings, fail_on)))
    else:
        wanted = tuple(dict.fromkeys((SECRETS, *map(existing, required))))
        report = config_report(content, file, server, wanted, fail_on)
    ctx.exit(report_files.deliver(report, targets, lambda: terminal.show(report, output), quiet=quiet))


def config_report(
    content: bytes, path: str, server: Server, required: tuple[str, ...], fail_on: Severity | None
) -> Report:
    """Everything there is to say about one file."""
    from keyctl.cli.files import name_of
    from keyctl.cli.mending_steps import mending
    from keyctl.encryption_config.decode import hash_of
    from keyctl.encryption_config.judge import judge

    name = name_of(path)
    judged = judge(content, name=name, server=server, required=required)
    serious = _serious(judged.findings, fail_on)
    exit_code = ExitCode.UNUSABLE if not judged.accepted else ExitCode.FINDINGS if serious else ExitCode.OK
    data: dict[str, object] = {
        "file": name,
        "kubernetes": str(server),
        "accepted": judged.accepted,
        "hash": hash_of(content),
        "effective": _effective(judged.decoded, required),
    }
    tables = (_table(judged.decoded, required),) if judged.decoded else ()
    findings, steps = mending(path, content, judged, server)
    verdict = _verdict(judged, server, len(serious))
    return Report("ConfigReport", exit_code, verdict, findings, data, tables, next_steps=steps)


def _verdict(judged: Judged, server: Server, serious: int) -> str:
    if judged.accepted is None:
        return f"NOT READ: keyctl does not read this form, and does not say what kube-apiserver {server} makes of it"
    if not judged.accepted:
        return f"REFUSED: kube-apiserver {server} does not start with this file, and does not load it while it runs"
    if serious:
        return f"ACCEPTED, AND WRONG: kube-apiserver {server} takes it without a word; see the findings"
    return f"ACCEPTED by kube-apiserver {server}" + ("; see the findings" if judged.findings else "")


def _serious(findings: tuple[Finding, ...], fail_on: Severity | None) -> list[Finding]:
    bar = -1 if fail_on is None else _SEVERITIES.index(fail_on)
    return [one for one in findings if _SEVERITIES.index(one.severity) <= bar]


def _resources(decoded: Decoded, required: tuple[str, ...]) -> tuple[str, ...]:
    from keyctl.encryption_config.effective import named_resources

    return tuple(dict.fromkeys((*named_resources(decoded.config), *required)))


def _effective(decoded: Decoded | None, required: tuple[str, ...]) -> list[dict[str, object]]:
    from keyctl.encryption_config.views.resource_view import view, view_fields

    return [view_fields(view(decoded.config, name)) for name in _resources(decoded, required)] if decoded else []


def _table(decoded: Decoded, required: tuple[str, ...]) -> Table:
    from keyctl.encryption_config.views.resource_view import reader_mark, view
    from keyctl.keys.shown import shown_name

    rows = []
    for name in _resources(decoded, required):
        shown = view(decoded.config, name)
        also = ", ".join(reader_mark(reader) for reader in shown.distinct[1:])
        rows.append((shown_name(name), reader_mark(shown.writer), also or "nothing else"))
    return Table(("RESOURCE", "WRITTEN WITH", "ALSO READ WITH"), tuple(rows))
