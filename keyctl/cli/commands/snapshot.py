"""`keyctl snapshot`: the group. Each of its commands has a file of its own."""

from __future__ import annotations

import click

from keyctl.cli.commands.snapshot_forget import forget
from keyctl.cli.commands.snapshot_inspect import inspect
from keyctl.cli.commands.snapshot_restore_test import restore_test
from keyctl.cli.commands.snapshot_save import save
from keyctl.cli.commands.snapshot_verify import verify


@click.group()
def snapshot() -> None:
    """Back up etcd, prove that a backup is whole and comes back, see which keys it needs and what it leaks.

    \b
    Examples:
      keyctl snapshot save /backup/prod-1.db
      keyctl snapshot save /backup --encrypt-to age1... --keep daily=14,monthly=12
      keyctl snapshot verify /backup/*.db
      keyctl snapshot inspect /backup/prod-1.db
      keyctl snapshot restore-test /backup/prod-1.db
      keyctl snapshot forget /backup/prod-1.db
    """  # noqa: D301 — click reads the \b


for _command in (save, verify, inspect, restore_test, forget):
    snapshot.add_command(_command)
