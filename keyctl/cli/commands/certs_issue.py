"""`keyctl certs issue`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from keyctl.cli import issued, terminal


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@issued.party_options
def issue(
    directory: Path,
    members: tuple[str, ...],
    clients: tuple[str, ...],
    days: int,
    print_flags: bool,
    member_folder: str,
    client_folder: str,
    output: str,
) -> None:
    """Issue certificates for one more member or client, or several, from the CAs in DIR.

    DIR is one that certs init made, with the keys of its CAs. Keys are of the CA's kind. What
    is there is never overwritten: to issue for a name anew, move its folder away first.

    \b
    Examples:
      keyctl certs issue etcd-pki --member m4=10.0.0.4
      keyctl certs issue etcd-pki --client auditor --days 30
    """  # noqa: D301 — click reads the \b
    from keyctl.pki.authority import Terms, add
    from keyctl.pki.generations import require_none

    named = issued.parties(members, clients)
    require_none(directory)
    terms = Terms(datetime.now(UTC), timedelta(days=days))
    layout = add(directory, *named, terms)
    folders = (member_folder, client_folder) if print_flags else None
    terminal.show(issued.report(layout, named, terms, folders=folders), output)
