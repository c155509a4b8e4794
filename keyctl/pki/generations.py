"""The next generation of the directory that `certs init` made: made beside it, put in its place, or given up.

`next/` in the directory is a directory of the same form with CAs, members and clients of its own. Until it is put
in place nothing of the directory changes. No host is reached from here.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from keyctl.errors import KeyctlError, RefusedError, UnusableInputError
from keyctl.keys.private_files import erase, sync_directory
from keyctl.pki.authority import Signing, Terms, create
from keyctl.pki.issue import Issued, KeyKind, kind_of
from keyctl.pki.layout import CA, PEER_CA, Layout
from keyctl.pki.parties import Client, Member
from keyctl.pki.renewal import due

_NEXT = "next"
_FORMER = ".former"
# No certificate that `certs init` makes ends later.
_EVER = timedelta(days=36_500)


def next_of(directory: Path) -> Layout:
    """Where the next generation of `directory` is, whether it is there or not."""
    return Layout(directory / _NEXT)


def parties_of(directory: Path, now: datetime) -> tuple[tuple[Member, ...], tuple[Client, ...]]:
    """Everybody who has a folder there. Raises `UnusableInputError` where certificates cannot be read."""
    found = [one.party for one in due(directory, members=(), clients=(), now=now, within=_EVER)]
    return (
        tuple(one for one in found if isinstance(one, Member)),
        tuple(one for one in found if isinstance(one, Client)),
    )


def prepare(directory: Path, terms: Terms, *, ca_lifetime: timedelta) -> Layout:
    """Make the next generation, for the same members and clients; one that is there already stays as it is.

    Raises `UnusableInputError` where the CAs of `directory` could not sign for the way back.
    """
    upcoming = next_of(directory)
    if not upcoming.root.exists():
        layout = Layout(directory)
        Signing(layout, terms)
        kind = terms.kind or _kind(layout)
        members, clients = parties_of(directory, terms.now)
        made = Terms(terms.now, terms.lifetime, kind)
        create(upcoming.root, members, clients, made, ca_lifetime=ca_lifetime, one_ca=not layout.has_peer_ca)
    return upcoming


def require_same_parties(directory: Path, now: datetime) -> None:
    """Raise `RefusedError` where the generations are not for the same members and clients."""
    names = [
        {*(f"member {one.name}" for one in members), *(f"client {one.name}" for one in clients)}
        for members, clients in (parties_of(directory, now), parties_of(next_of(directory).root, now))
    ]
    for name in sorted(names[0] ^ names[1]):
        raise RefusedError(
            f"{name} was issued or taken away since the roll-over began",
            cause=f"it is in only one of {directory} and {next_of(directory).root}",
            hint="move its folder away, finish the roll-over, and issue it then",
        )


def require_none(directory: Path) -> None:
    """Raise `RefusedError` while `directory` has a next generation: what its CAs sign now ends with them."""
    if os.path.lexists(directory / _NEXT):
        raise RefusedError(
            f"a roll-over of the CAs in {directory} is under way",
            cause="what they sign now would be refused, and erased here, when it ends",
            hint="finish it with certs rollover --resume, or go back with --abort; issue it then",
        )


def promote(directory: Path) -> None:
    """Put the next generation in the place of the present one, whose keys are erased. Goes on where it was cut off."""
    upcoming, former = directory / _NEXT, directory / _FORMER
    if upcoming.is_dir():
        former.mkdir(mode=0o700, exist_ok=True)
        for path in sorted(upcoming.iterdir()):
            place = directory / path.name
            # NOTE: cut off after the first of the two renames, there is nothing in its place any more.
            if os.path.lexists(place):
                place.rename(former / path.name)
            path.rename(place)
            sync_directory(directory)
        upcoming.rmdir()
    _erase(former)
    sync_directory(directory)


def discard(directory: Path) -> None:
    """Erase the next generation: nobody was left with anything of it. No-op where there is none."""
    _erase(directory / _NEXT)
    sync_directory(directory)


def ends(layout: Layout) -> datetime:
    """When the first of the CAs ends."""
    from keyctl.pki.inspect import load_certificates

    stems = (CA, PEER_CA) if layout.has_peer_ca else (CA,)
    return min(load_certificates(layout.certificate(stem))[0].not_after for stem in stems)


def _kind(layout: Layout) -> KeyKind:
    try:
        return kind_of(Issued(layout.certificate(CA).read_bytes(), layout.key(CA).read_bytes()))
    except OSError as error:
        raise UnusableInputError(f"the CA in {layout.root} cannot be read", cause=error.strerror) from error


def _erase(folder: Path) -> None:
    if not folder.is_dir():
        return
    for key in sorted(folder.rglob("*.key")):
        # One that others can read is no secret to be erased with care; it goes with the rest.
        with suppress(KeyctlError):
            erase(key)
    shutil.rmtree(folder)
