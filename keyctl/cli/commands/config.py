"""`keyctl config`: the group. Each of its commands has a file of its own."""

from __future__ import annotations

import click

from keyctl.cli.commands.config_diff import diff
from keyctl.cli.commands.config_explain import explain
from keyctl.cli.commands.config_fix import fix
from keyctl.cli.commands.config_migrate import migrate
from keyctl.cli.commands.config_new import new
from keyctl.cli.commands.config_show import show
from keyctl.cli.commands.config_validate import validate


@click.group()
def config() -> None:
    """Judge, explain, compare and repair EncryptionConfiguration files.

    \b
    Examples:
      keyctl config validate enc.yaml
      keyctl config explain secrets
      keyctl config fix enc.yaml
      keyctl config diff old.yaml new.yaml
    """  # noqa: D301 — click reads the \b


for _command in (new, validate, show, explain, diff, fix, migrate):
    config.add_command(_command)
