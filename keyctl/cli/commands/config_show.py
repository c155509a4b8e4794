"""`keyctl config show`."""

from __future__ import annotations

from pathlib import Path

import click

from keyctl.cli import completed, configurations, terminal
from keyctl.cli.configurations import Configuration, Found
from keyctl.cli.options import cluster_option, server_of, server_options
from keyctl.encryption_config.model import StaticReader
from keyctl.encryption_config.views.resource_view import (
    ResourceView,
    probes,
    reader_in_full,
    reader_mark,
    reader_name,
    resource_name,
    view,
    view_fields,
)
from keyctl.errors import ExitCode
from keyctl.findings import Report, Table

_HEADS = ("RESOURCE", "WRITTEN WITH", "FINGERPRINT", "ALSO READ WITH", "ENTRY")


@click.command()
@click.argument("file", required=False, shell_complete=completed.files)
@cluster_option
@server_options
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Format on stdout.")
@click.pass_context
def show(ctx: click.Context, /, file: str | None, cluster: Path | None, output: str, **given: object) -> None:
    """Show which key really writes and reads each resource, as kube-apiserver looks it up.

    Wildcards, several entries for one resource and repeated names are taken into account;
    no key bytes are shown. FILE may be - for stdin. Without FILE, the files of all API
    servers in the cluster file are shown, or that of this machine's API server. Nothing
    is judged here.

    \b
    Examples:
      keyctl config show
      keyctl config show enc.yaml
      keyctl config show enc.yaml -o json | jq '.configurations[0].effective'
    """  # noqa: D301 — click reads the \b
    configurations.check_one_source(ctx, "FILE", file, cluster)
    terminal.show(_report(configurations.find(file, cluster, server_of(given))), output)


def _report(found: Found) -> Report:
    shown = [
        (one, tuple(view(one.config, resource) for resource in probes(one.config))) for one in found.configurations
    ]
    return Report(
        kind="ConfigView",
        exit_code=ExitCode.OK,
        verdict="shown as kube-apiserver looks it up, not judged",
        data={"configurations": [_fields(one, views) for one, views in shown], "notes": list(found.notes)},
        tables=tuple(_table(one, views) for one, views in shown),
        notes=found.notes,
    )


def _table(one: Configuration, views: tuple[ResourceView, ...]) -> Table:
    return Table(_HEADS, tuple(_row(one, shown) for shown in views), title=one.title)


def _row(one: Configuration, shown: ResourceView) -> tuple[str, ...]:
    writer = shown.writer
    static = isinstance(writer, StaticReader)
    return (
        resource_name(shown.resource),
        reader_name(writer) if static else reader_in_full(writer),
        writer.key.fingerprint if isinstance(writer, StaticReader) else "-",
        ", ".join(reader_mark(reader) for reader in shown.distinct[1:]) or "-",
        _entries(one, shown),
    )


def _entries(one: Configuration, shown: ResourceView) -> str:
    if shown.covered_by is None:
        return "none"
    places = ", ".join(f"resources[{index}] line {one.line(index)}" for index in shown.entries)
    return places if shown.covered_by in (shown.resource, "*.*") else f"{places}, as {resource_name(shown.covered_by)}"


def _fields(one: Configuration, views: tuple[ResourceView, ...]) -> dict[str, object]:
    return {
        "servers": list(one.servers),
        "file": one.file,
        "configured": one.decoded is not None,
        "effective": [view_fields(shown) for shown in views],
    }
