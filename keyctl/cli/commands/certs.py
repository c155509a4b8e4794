"""`keyctl certs`."""

from __future__ import annotations

import click

from keyctl.cli.commands.certs_check import check
from keyctl.cli.commands.certs_flags import flags
from keyctl.cli.commands.certs_init import init
from keyctl.cli.commands.certs_issue import issue
from keyctl.cli.commands.certs_renew import renew


@click.group()
def certs() -> None:
    """Certificates for etcd: make them, and find out what is wrong with those that are there.

    \b
    Examples:
      keyctl certs init etcd-pki --member m1=10.0.0.1 --client kube-apiserver
      keyctl certs issue etcd-pki --member m2=10.0.0.2
      keyctl certs renew etcd-pki --dry-run
      keyctl certs flags etcd-pki --manifest /etc/kubernetes/manifests/etcd.yaml
      keyctl certs check /etc/kubernetes/pki
    """  # noqa: D301 — click reads the \b


for _command in (init, issue, renew, flags, check):
    certs.add_command(_command)
