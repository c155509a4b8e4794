"""`keyctl explain`: rules and exit codes, offline."""

from __future__ import annotations

import click

from keyctl.cli.rules import RULES
from keyctl.errors import ExitCode, WrongUsageError


@click.command()
@click.argument("topic", required=False)
def explain(topic: str | None) -> None:
    """Explain TOPIC: a rule (R1 … R18), an exit code, or "exit-codes".

    \b
    Examples:
      keyctl explain R10
      keyctl explain 13
      keyctl explain exit-codes
    """  # noqa: D301 — click reads the \b
    if topic is None:
        for name, sentence in RULES.items():
            click.echo(f"{name:<10} {sentence.partition('. ')[0].rstrip('.')}")
        return
    if topic == "exit-codes":
        for code in ExitCode:
            click.echo(f"{code:>4}  {code.meaning}")
        return
    click.echo(_one(topic))


def _one(topic: str) -> str:
    codes = {str(code.value): code for code in ExitCode}
    if topic in codes:
        return f"exit code {topic}: {codes[topic].meaning}"
    rules = {name.lower(): sentence for name, sentence in RULES.items()}
    if topic.lower() in rules:
        return f"{topic.upper()}: {rules[topic.lower()]}"
    raise WrongUsageError(
        f"nothing is known of {topic!r}", hint="keyctl explain lists the rules; keyctl explain exit-codes"
    )
