"""`keyctl etcd-access`."""

from __future__ import annotations

import click

from keyctl.cli.commands.etcd_access_apply import apply
from keyctl.cli.commands.etcd_access_check import check
from keyctl.cli.commands.etcd_access_plan import plan


@click.group()
def etcd_access() -> None:
    """etcd's own users and roles: without them every certificate that etcd accepts may do everything.

    \b
    Examples:
      keyctl etcd-access plan --compaction apiserver --apiserver-cert apiserver-etcd-client.crt
      keyctl etcd-access apply --compaction apiserver --apiserver-cert apiserver-etcd-client.crt
      keyctl etcd-access check --compaction apiserver --apiserver-cert apiserver-etcd-client.crt
      keyctl etcd-access apply --disable
    """  # noqa: D301, D403 — click reads the \b


for _command in (plan, check, apply):
    etcd_access.add_command(_command)
