"""`keyctl kms`."""

from __future__ import annotations

import click

from keyctl.cli.commands.kms_check import check


@click.group()
def kms() -> None:
    """KMS v2 plugins, which hold the key of a cluster in a KMS.

    \b
    Examples:
      keyctl kms check unix:///run/kms/kms.sock
    """  # noqa: D301 — click reads the \b


kms.add_command(check)
