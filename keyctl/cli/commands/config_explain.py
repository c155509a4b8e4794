"""`keyctl config explain`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from shlex import quote

import click

from keyctl.cli import configurations, terminal
from keyctl.cli.configurations import Found
from keyctl.cli.options import cluster_option, server_of, server_options
from keyctl.cli.resources import checked
from keyctl.encryption_config.views.explain import Asked, Explanation, explained, fate_fields
from keyctl.encryption_config.views.resource_view import view_fields
from keyctl.errors import ExitCode, WrongUsageError
from keyctl.findings import Report
from keyctl.keys.key import Provider
from keyctl.keys.shown import shortened


@click.command()
@click.argument("resources", nargs=-1, required=True, metavar="RESOURCE...")
@click.option("--encryption-config", "file", metavar="FILE", help="Explain this file; - is stdin.")
@click.option("--key", metavar="PROVIDER[:NAME]", help="Only what becomes of values under this key; identity too.")
@cluster_option
@server_options
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Format on stdout.")
@click.pass_context
def explain(
    ctx: click.Context,
    /,
    resources: tuple[str, ...],
    file: str | None,
    key: str | None,
    cluster: Path | None,
    output: str,
    **given: object,
) -> None:
    """Say in words what kube-apiserver does with the values of RESOURCE, and of which key.

    Which entry covers it, what new values are written with, what is tried on read and
    in which order, and what becomes of values that are stored under each key: read, read
    and stale, or unreadable. --key asks about one key only, also one that the file does
    not have. Without --encryption-config, the API servers' files are explained, as for
    verify-secrets.

    \b
    Examples:
      keyctl config explain secrets
      keyctl config explain secrets configmaps deployments.apps --encryption-config enc.yaml
      keyctl config explain secrets --key aescbc:key1
      keyctl config explain '*.*' --key identity
    """  # noqa: D301 — click reads the \b
    configurations.check_one_source(ctx, "--encryption-config", file, cluster)
    asked = None if key is None else _asked(key)
    named = tuple(dict.fromkeys(_resource(resource) for resource in resources))
    found = configurations.find(file, cluster, server_of(given))
    answers = [[explained(one.config, resource, asked) for resource in named] for one in found.configurations]
    if output == "json":
        terminal.show(_report(found, answers), output)
    else:
        text = _text(found, answers)
        unicode = terminal.screen(sys.stdout).unicode
        click.echo(text if unicode else text.encode("ascii", "backslashreplace").decode("ascii"))


def _text(found: Found, answers: list[list[Explanation]]) -> str:
    blocks = [
        block
        for one, explanations in zip(found.configurations, answers, strict=True)
        for block in (one.title, *("\n".join(explanation.lines) for explanation in explanations))
    ]
    return "\n\n".join((*blocks, *(("\n".join(found.notes),) if found.notes else ())))


def _report(found: Found, answers: list[list[Explanation]]) -> Report:
    return Report(
        kind="ConfigExplanation",
        exit_code=ExitCode.OK,
        verdict="explained",
        data={
            "configurations": [
                {
                    "servers": list(one.servers),
                    "file": one.file,
                    "configured": one.decoded is not None,
                    "resources": [_fields(explanation) for explanation in explanations],
                }
                for one, explanations in zip(found.configurations, answers, strict=True)
            ],
            "notes": list(found.notes),
        },
    )


def _fields(explanation: Explanation) -> dict[str, object]:
    return {
        **view_fields(explanation.view),
        "values": [fate_fields(fate) for fate in explanation.fates],
        "lines": list(explanation.lines),
    }


def _asked(text: str) -> Asked:
    found = re.fullmatch(r"([^:/]*)(?:[:/](.+))?", text, re.DOTALL)
    provider, name = found.groups() if found else ("", None)
    if provider not in [one.value for one in Provider] or (name and provider == Provider.IDENTITY):
        raise WrongUsageError(
            f"--key takes PROVIDER or PROVIDER:NAME, not {shortened(text)!r}",
            hint=f"providers: {', '.join(one.value for one in Provider)}; identity, which is plaintext, has no names",
        )
    return Asked(Provider(provider), name)


def _resource(text: str) -> str:
    if "/" in text or text.endswith((".yaml", ".yml", ".json")):
        raise WrongUsageError(
            f"{text!r} is a file, and this command takes resources",
            hint=f"keyctl config explain secrets --encryption-config {quote(text)}",
        )
    return checked(text)
