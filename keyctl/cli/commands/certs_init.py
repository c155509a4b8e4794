"""`keyctl certs init`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from keyctl.cli import issued, terminal

CA_DAYS = 3650


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@issued.party_options
@issued.days_option("--ca-days", CA_DAYS, "How long the CAs hold.")
@click.option(
    "--algorithm",
    type=click.Choice(["ecdsa", "ed25519", "rsa"]),
    default="ecdsa",
    show_default=True,
    help="P-256, Ed25519, or RSA of 3072 bits. Clients with gRPC in C take no Ed25519, and keyctl is one of them.",
)
@click.option(
    "--one-ca",
    is_flag=True,
    help="One CA for clients and peers, as kubeadm has it: each client can then speak to the peer port.",
)
def init(
    directory: Path,
    members: tuple[str, ...],
    clients: tuple[str, ...],
    days: int,
    ca_days: int,
    algorithm: str,
    one_ca: bool,
    print_flags: bool,
    member_folder: str,
    client_folder: str,
    output: str,
) -> None:
    """Make CAs for an etcd in DIR, and certificates for its members and clients.

    DIR must not be there, or be empty; it is made whole or not at all. Each member gets a
    server's certificate (for clients) and a peer's (for the other members), each client one that
    is no server's. Peers have a CA of their own: a client's certificate opens no peer port, and a
    peer's no client port. members/NAME and clients/NAME are what goes to a host, CAs included;
    ca.key and peer-ca.key go to none: whoever has them is every client of this etcd.

    \b
    Examples:
      keyctl certs init etcd-pki --member m1=10.0.0.1 --client kube-apiserver
      keyctl certs init etcd-pki --member m1=10.0.0.1,etcd1.example.com --member m2=10.0.0.2 \\
        --member m3=10.0.0.3 --client kube-apiserver --client backup --print-flags
      keyctl certs init etcd-pki --member m1=10.0.0.1 --client kube-apiserver --algorithm rsa
    """  # noqa: D301 — click reads the \b
    from keyctl.pki.authority import Terms, create
    from keyctl.pki.issue import KeyKind

    named = issued.parties(members, clients)
    terms = Terms(datetime.now(UTC), timedelta(days=days), KeyKind(algorithm))
    layout = create(directory, *named, terms, ca_lifetime=timedelta(days=ca_days), one_ca=one_ca)
    if terms.kind is KeyKind.ED25519:
        click.echo("clients with gRPC in C cannot speak to an etcd with Ed25519; keyctl is one of them", err=True)
    folders = (member_folder, client_folder) if print_flags else None
    terminal.show(issued.report(layout, named, terms, folders=folders), output)
