"""`keyctl certs`."""

from __future__ import annotations

import click

from keyctl.cli.commands.certs_check import check
from keyctl.cli.commands.certs_flags import flags
from keyctl.cli.commands.certs_init import init
from keyctl.cli.commands.certs_issue import issue
from keyctl.cli.commands.certs_renew import renew
from keyctl.cli.commands.certs_rollover import rollover


@click.group()
def certs() -> None:
    """Certificates for etcd: make them, bring them to their hosts, and find out what is wrong with those there are.

    \b
    Examples:
      keyctl certs init etcd-pki --member m1=10.0.0.1 --client kube-apiserver
      keyctl certs issue etcd-pki --member m2=10.0.0.2
      keyctl certs renew etcd-pki --dry-run
      keyctl certs rollover etcd-pki --cluster keyctl.yaml --dry-run
      keyctl certs flags etcd-pki --manifest /etc/kubernetes/manifests/etcd.yaml
      keyctl certs check /etc/kubernetes/pki
    """  # noqa: D301 — click reads the \b


for _command in (init, issue, renew, rollover, flags, check):
    certs.add_command(_command)
