"""`keyctl config diff`."""

from __future__ import annotations

import click

from keyctl.cli import completed, configurations, terminal
from keyctl.cli.files import STDIN, name_of
from keyctl.cli.options import server_of, server_options
from keyctl.encryption_config.decode import Decoded, hash_of
from keyctl.encryption_config.model import Reader
from keyctl.encryption_config.views.compare import ResourceChange, compare, plugin_settings
from keyctl.encryption_config.views.resource_view import reader_fields, reader_mark, resource_name, view_fields
from keyctl.errors import ExitCode, WrongUsageError
from keyctl.findings import Finding, Location, Report, Status, Table

_HEADS = ("RESOURCE", "STATE", "WRITTEN WITH", "READERS GAINED", "READERS LOST", "ORDER")


@click.command()
@click.argument("old", shell_complete=completed.files)
@click.argument("new", shell_complete=completed.files)
@server_options
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Format on stdout.")
@click.pass_context
def diff(ctx: click.Context, /, old: str, new: str, output: str, **given: object) -> None:
    """Say what NEW changes against OLD, resource by resource, and whether that step is safe.

    Safe means: while some API servers have OLD and some have NEW, each reads what any
    other writes, all that may be stored under OLD stays readable, and nothing that was
    encrypted is written in plaintext from then on. No stored value
    is looked at, so taking a reader away is never safe here. Keys are compared by their
    bytes and shown by name and fingerprint. Exits 0 when the step is safe, 5 when not;
    OLD or NEW may be - for stdin.

    \b
    Examples:
      keyctl config diff /etc/kubernetes/enc/enc.yaml enc-new.yaml
      git show HEAD:enc.yaml | keyctl config diff - enc.yaml
      keyctl config diff old.yaml new.yaml --kubernetes-version 1.28 -o json
    """  # noqa: D301 — click reads the \b
    if old == new == STDIN:
        raise WrongUsageError("OLD and NEW cannot both be stdin", hint="name a file for one of them")
    server = server_of(given)
    before, before_bytes = configurations.read(old, server)
    after, after_bytes = configurations.read(new, server)
    files = {
        "old": {"file": name_of(old), "hash": hash_of(before_bytes)},
        "new": {"file": name_of(new), "hash": hash_of(after_bytes)},
    }
    report = _report(before, after, Location(file=name_of(new)), files)
    terminal.show(report, output)
    ctx.exit(report.exit_code)


def _report(before: Decoded, after: Decoded, location: Location, files: dict[str, dict[str, str]]) -> Report:
    compared = compare(before.config, after.config)
    settings = plugin_settings(before.raw, after.raw, location)
    findings = (*compared.findings(location), *settings)
    same = compared.same and not settings
    safe = compared.safe and all(one.status is not Status.FAIL for one in settings)
    return Report(
        kind="ConfigDiff",
        exit_code=ExitCode.OK if safe else ExitCode.REFUSED,
        verdict=_verdict(findings, same=same, safe=safe, identical=files["old"]["hash"] == files["new"]["hash"]),
        findings=findings,
        data={
            **files,
            "verdict": "same" if same else "safe" if safe else "unsafe",
            "resources": [_fields(change) for change in compared.changes],
        },
        tables=(Table(_HEADS, tuple(_row(change) for change in compared.changes)),),
    )


def _verdict(findings: tuple[Finding, ...], *, same: bool, safe: bool, identical: bool) -> str:
    if identical:
        return "the same file, byte for byte"
    if same:
        return "same meaning: only the layout differs, and with it the hash that servers report"
    if not safe:
        return "not safe: keyctl would not take this step from server to server; see the findings"
    if findings:
        return "safe, if what is marked manual holds: NEW may replace OLD on one server after another"
    return "safe: NEW may replace OLD on one server after another"


def _row(change: ResourceChange) -> tuple[str, ...]:
    before, after = change.before.writer, change.after.writer
    written = reader_mark(before) if before == after else f"{reader_mark(before)} -> {reader_mark(after)}"
    return (
        resource_name(change.resource),
        "same" if change.same else "ok" if change.safe else "fail",
        written,
        _marks(change.gained),
        _marks(change.lost),
        "changed" if change.reordered else "-",
    )


def _marks(readers: tuple[Reader, ...]) -> str:
    return ", ".join(reader_mark(reader) for reader in readers) or "-"


def _fields(change: ResourceChange) -> dict[str, object]:
    before, after = view_fields(change.before), view_fields(change.after)
    return {
        "resource": before["resource"],
        "same": change.same,
        "safe": change.safe,
        "coveredBy": {"old": before["coveredBy"], "new": after["coveredBy"]},
        "write": {"old": before["write"], "new": after["write"]},
        "gained": [reader_fields(reader) for reader in change.gained],
        "lost": [reader_fields(reader) for reader in change.lost],
        "orderChanged": change.reordered,
    }
