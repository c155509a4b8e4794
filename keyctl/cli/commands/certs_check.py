"""`keyctl certs check`."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from keyctl.cli import report_files, terminal
from keyctl.cli.options import fail_on_option, output_option, report_option
from keyctl.findings import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from keyctl.audit.certificate_users import Reached


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH…", type=click.Path(path_type=Path))
@click.option(
    "--cluster",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also judge by this cluster file: its pair for etcd, and whether a certificate names each of its endpoints.",
)
@fail_on_option(Severity.MEDIUM)
@output_option
@report_option
@click.option("-q", "--quiet", is_flag=True, help="Print nothing when the exit code is 0.")
@click.pass_context
def check(
    ctx: click.Context,
    /,
    paths: tuple[Path, ...],
    cluster: Path | None,
    fail_on: Severity | None,
    output: str,
    reports: tuple[str, ...],
    quiet: bool,
) -> None:
    """Look at every certificate and private key in PATHs: use, names, expiry, signer, key. Nothing is changed.

    PATH is a file or a directory: /etc/kubernetes, a directory of certs init, what openssl made.
    Static pods and configurations of etcd that stand there too say which CA is trusted, and what
    kubeconfigs hold or name is looked at. Exits 0 when all is right, 20 for a finding at or above
    --fail-on, 21 when something could not be judged (a CA that was not looked at, a key with a
    password, a file without PEM) or nothing was found. Of private keys nothing is shown.

    \b
    Examples:
      keyctl certs check /etc/kubernetes
      keyctl certs check etcd-pki --cluster keyctl.yaml
      keyctl certs check server.crt server.key ca.crt -o json
      keyctl certs check /etc/kubernetes/pki --fail-on high --report junit=certs.xml
    """  # noqa: D301 — click reads the \b
    from keyctl.audit.certificate_files import judge, place
    from keyctl.audit.certificate_report import report
    from keyctl.audit.certificate_users import named, of_cluster, of_kubeconfigs, of_programs
    from keyctl.audit.collect import collect
    from keyctl.audit.facts import Facts
    from keyctl.audit.sources.pem import fact_of
    from keyctl.pki.inventory import take

    targets = report_files.checked(reports, [*paths, cluster])
    today = datetime.now(UTC).date()
    etcds = _etcds(cluster) if cluster else ()
    inventory = take((*paths, *(Path(path) for one in etcds for path in (one.ca, one.cert, one.key) if path)))
    programs = collect(paths, today=today).programs
    roles = of_kubeconfigs(inventory) | of_programs(programs) | of_cluster(etcds)
    placed = place(inventory, roles)
    said = (replace(fact_of(one.path, one.described), path=one.place) for one in inventory.certificates)
    facts = Facts(today, (*programs, *said), inventory.looked)
    findings = (*judge(placed, inventory, facts), *named(etcds, placed))
    done = report(placed, inventory, findings, bar=fail_on, today=today)
    ctx.exit(report_files.deliver(done, targets, lambda: terminal.show(done, output), quiet=quiet))


def _etcds(cluster: Path) -> tuple[Reached, ...]:
    """The etcds of the cluster file."""
    from keyctl.audit.certificate_users import Reached
    from keyctl.cluster_file.read import load

    etcd = load(cluster).etcd
    members = [one.server_name or urlsplit(one.endpoint).hostname or "" for one in etcd.members]
    reached = []
    for connection, others in ((etcd.connection, members), *((one.connection, []) for one in etcd.overrides)):
        # The name that is compared instead of the host.
        said = [connection.server_name] if connection.server_name else _hosts(connection.endpoints)
        hosts = tuple(dict.fromkeys(host for host in (*said, *others) if host))
        reached.append(Reached(_place(connection.cacert), _place(connection.cert), _place(connection.key), hosts))
    return tuple(reached)


def _hosts(urls: Iterable[str]) -> list[str]:
    return [urlsplit(url).hostname or "" for url in urls]


def _place(path: Path | None) -> str:
    return os.path.abspath(path) if path else ""  # noqa: PTH100 — a link stands where it is written
