"""Certificates of members and clients renewed from the same CAs: new keys, the same names, folder by folder.

Nothing reaches a host from here, and no CA is renewed: what was given out goes on until it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from keyctl.errors import UnusableInputError, WrongUsageError
from keyctl.pki.authority import Signing, Terms
from keyctl.pki.describe import UNREADABLE, Described, describe
from keyctl.pki.folders import recover, replaced
from keyctl.pki.layout import CLIENT, PEER, SERVER, Layout
from keyctl.pki.parties import Client, Member


@dataclass(frozen=True, slots=True)
class Renewal:
    """A member or client whose folder is renewed; the first of its certificates ends at `until`."""

    party: Member | Client
    folder: Path
    until: datetime

    @property
    def use(self) -> str:
        """What it is."""
        return "member" if isinstance(self.party, Member) else "client"


def due(
    directory: Path, *, members: Collection[str], clients: Collection[str], now: datetime, within: timedelta
) -> tuple[Renewal, ...]:
    """Those that are named, however long they still hold; without any names, all that end `within` that time.

    Raises `WrongUsageError` for one that is not there, `UnusableInputError` where certificates cannot be read.
    """
    layout = Layout(directory)
    every = (*_below(layout.root / "members", _member), *_below(layout.root / "clients", _client))
    if not every:
        raise UnusableInputError(
            f"{directory} holds no members and no clients", hint="name a directory that certs init made"
        )
    known = {(one.use, one.party.name) for one in every}
    wanted = {*(("member", name) for name in members), *(("client", name) for name in clients)}
    for use, name in sorted(wanted - known):
        raise WrongUsageError(
            f"{directory} has no {use} {name}", hint=f"known: {', '.join(sorted(n for u, n in known if u == use))}"
        )
    if wanted:
        return tuple(one for one in every if (one.use, one.party.name) in wanted)
    return tuple(one for one in every if one.until < now + within)


def renew(directory: Path, renewals: tuple[Renewal, ...], terms: Terms) -> Iterator[Renewal]:
    """Renew one after the other, each whole or not at all, and yield it when it is done.

    The former keys are erased: hosts have their own copies. Raises `UnusableInputError` where the CAs cannot sign.
    """
    signing = Signing(Layout(directory), terms)
    for one in renewals:
        with replaced(one.folder) as draft:
            if isinstance(one.party, Member):
                signing.member(one.party, draft)
            else:
                signing.client(one.party, draft)
        yield one


def mend(directory: Path) -> None:
    """Finish what a renewal that crashed left half done."""
    for folder in ("members", "clients"):
        recover(directory / folder)


def _below(parent: Path, read: Callable[[Path], Renewal]) -> tuple[Renewal, ...]:
    if not parent.is_dir():
        return ()
    return tuple(read(path) for path in sorted(parent.iterdir()) if path.is_dir() and not path.name.startswith("."))


def _member(folder: Path) -> Renewal:
    # NOTE: a peer's certificate has the hosts as they were given; a server's has those of its own host too.
    peer, server = _read(folder / f"{PEER}.crt"), _read(folder / f"{SERVER}.crt")
    try:
        member = Member(folder.name, peer.names)
    except WrongUsageError as error:
        raise _foreign(folder) from error
    known = {*member.server.names, *member.server.addresses}
    if {peer.common_name, server.common_name} != {member.name} or set(server.names) != known:
        raise _foreign(folder)
    return Renewal(member, folder, min(peer.not_after, server.not_after))


def _client(folder: Path) -> Renewal:
    said = _read(folder / f"{CLIENT}.crt")
    if said.common_name != folder.name:
        raise _foreign(folder)
    return Renewal(Client(folder.name), folder, said.not_after)


def _foreign(folder: Path) -> UnusableInputError:
    """A renewal would give other names than those that are there, and somebody goes by those."""
    return UnusableInputError(
        f"{folder} holds certificates that certs init did not make", hint=f"move {folder} away and issue it anew"
    )


def _read(path: Path) -> Described:
    try:
        return describe(x509.load_pem_x509_certificate(path.read_bytes()))
    except (OSError, *UNREADABLE) as error:
        raise UnusableInputError(
            f"no certificate can be read from {path}",
            hint=f"move {path.parent} away and issue it anew",
        ) from error
