"""What `certs init` and `certs issue` ask for and tell: options, the table of what was made, and the flags for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, TypeVar

import click

from keyctl.cli.files import name_of
from keyctl.cli.options import output_option
from keyctl.errors import ExitCode
from keyctl.file_argument import file_argument
from keyctl.findings import Report, Table

if TYPE_CHECKING:
    from keyctl.pki.authority import Terms
    from keyctl.pki.issue import Subject
    from keyctl.pki.layout import Layout
    from keyctl.pki.parties import Client, Member

F = TypeVar("F", bound=Callable[..., object])

LIFETIME_DAYS = 365
MEMBER_FOLDER = "/etc/etcd/pki"
CLIENT_FOLDER = "/etc/kubernetes/pki/etcd-client"
_LONGEST = 36_500


def days_option(name: str, default: int, what: str) -> Callable[[F], F]:
    """An option for a number of days."""
    return click.option(
        name, type=click.IntRange(1, _LONGEST), default=default, show_default=True, metavar="DAYS", help=what
    )


def folder_options(command: F) -> F:
    """Where the files will stand on their hosts."""
    for option in (
        click.option(
            "--client-folder",
            default=CLIENT_FOLDER,
            callback=_absolute,
            show_default=True,
            metavar="PATH",
            help="Where the API server's client folder will be on its host, for the flags.",
        ),
        click.option(
            "--member-folder",
            default=MEMBER_FOLDER,
            callback=_absolute,
            show_default=True,
            metavar="PATH",
            help="Where a member's folder will be on its host, for the flags.",
        ),
    ):
        command = option(command)
    return command


def party_options(command: F) -> F:
    """Whom the certificates are for, and how what was made is told."""
    for option in reversed(
        (
            click.option(
                "--member",
                "members",
                multiple=True,
                metavar="NAME=HOST[,HOST…]",
                help="A member of etcd, with each address and name that it is reached by or connects from. Repeatable.",
            ),
            click.option("--client", "clients", multiple=True, metavar="NAME", help="A client of etcd. Repeatable."),
            days_option("--days", LIFETIME_DAYS, "How long the certificates of members and clients hold."),
            click.option("--print-flags", is_flag=True, help="Also print the flags for etcd and kube-apiserver."),
            folder_options,
            output_option,
        )
    ):
        command = option(command)
    return command


def parties(members: Sequence[str], clients: Sequence[str]) -> tuple[tuple[Member, ...], tuple[Client, ...]]:
    """Whom the options name. Raises `WrongUsageError`."""
    from keyctl.pki.parties import Client, Member

    return tuple(map(Member.parse, members)), tuple(map(Client, clients))


def report(
    layout: Layout,
    parties: tuple[tuple[Member, ...], tuple[Client, ...]],
    terms: Terms,
    *,
    folders: tuple[str, str] | None,
) -> Report:
    """What was made. `folders` are where a member's and the API server's folder will be, None without the flags."""
    members, clients = parties
    end = f"{terms.now + terms.lifetime:%Y-%m-%d}"
    rows = [
        row
        for one in members
        for row in (
            (one.name, "server", ", ".join(_hosts(one.server)), end, str(layout.member(one.name) / "server.crt")),
            (one.name, "peer", ", ".join(_hosts(one.peer)), end, str(layout.member(one.name) / "peer.crt")),
        )
    ]
    rows += [(one.name, "client", "-", end, str(layout.client(one.name) / "client.crt")) for one in clients]
    data: dict[str, object] = {
        "directory": str(layout.root),
        "issued": [dict(zip(("name", "use", "names", "until", "certificate"), row, strict=True)) for row in rows],
    }
    notes: tuple[str, ...] = ()
    if folders is not None:
        etcd, server = _flags(layout, *folders)
        data["flags"] = {"etcd": list(etcd), "kube-apiserver": list(server)}
        notes = flag_lines(layout, *folders)
    table = Table(("NAME", "USE", "FOR", "UNTIL", "CERTIFICATE"), tuple(rows))
    verdict = f"{len(rows)} certificates, each with a key of its own, are in {layout.root}"
    steps = (f"keyctl certs check {file_argument(name_of(layout.root))}",)
    return Report("CertificatesIssued", ExitCode.OK, verdict, (), data, (table,), notes, steps)


def flag_lines(layout: Layout, member_folder: str, client_folder: str) -> tuple[str, ...]:
    """The flags of etcd and of kube-apiserver, each below a line that says whose they are."""
    etcd, server = _flags(layout, member_folder, client_folder)
    return (
        f"# etcd, with its member's folder in {member_folder}; each URL must be https: etcd ignores these for http",
        *etcd,
        f"# kube-apiserver, with its client's folder in {client_folder}",
        *server,
    )


def _flags(layout: Layout, member_folder: str, client_folder: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    from keyctl.pki.flags import api_server_flags, etcd_flags, words

    etcd = etcd_flags(PurePosixPath(member_folder), one_ca=not layout.has_peer_ca)
    return words(etcd), words(api_server_flags(PurePosixPath(client_folder)))


def _hosts(subject: Subject) -> tuple[str, ...]:
    return (*subject.addresses, *subject.names)


def _absolute(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    """Callback: an absolute path, on a host that need not be this one."""
    if not PurePosixPath(value).is_absolute():
        raise click.BadParameter(f"{value!r} is no absolute path", ctx=ctx, param=parameter)
    return value
