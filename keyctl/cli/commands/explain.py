"""`keyctl explain`: rules, findings and exit codes, offline."""

from __future__ import annotations

import click

from keyctl.cli import completed
from keyctl.cli.rules import RULES, STATES
from keyctl.errors import ExitCode, WrongUsageError


@click.command()
@click.argument("topic", required=False, shell_complete=completed.topics)
def explain(topic: str | None) -> None:
    """Explain TOPIC: a rule (R1 … R18), a state (preflight), a finding's id (KC-CFG-001), or an exit code.

    "findings" lists all ids, "exit-codes" all exit codes; without TOPIC the rules are listed.

    \b
    Examples:
      keyctl explain R10
      keyctl explain KC-CFG-001
      keyctl explain findings
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
    if topic == "findings":
        from keyctl.cli.catalogue import CATALOGUE

        for rule in CATALOGUE:
            click.echo(f"{rule.id:<12} {rule.severity:<8} {rule.title}")
        return
    click.echo(_one(topic))


def _one(topic: str) -> str:
    codes = {str(code.value): code for code in ExitCode}
    if topic in codes:
        return f"exit code {topic}: {codes[topic].meaning}"
    rules = {name.lower(): sentence for name, sentence in RULES.items()}
    if topic.lower() in rules:
        return f"{topic.upper()}: {rules[topic.lower()]}"
    if topic.lower() in STATES:
        return f"{topic.lower()}: {STATES[topic.lower()]}"
    if topic.upper().startswith("KC-"):
        from keyctl.cli.catalogue import CATALOGUE, told

        for rule in CATALOGUE:
            if rule.id == topic.upper():
                return told(rule)
    raise WrongUsageError(
        f"nothing is known of {topic!r}",
        hint=("keyctl explain lists the rules", "keyctl explain findings", "keyctl explain exit-codes"),
    )
