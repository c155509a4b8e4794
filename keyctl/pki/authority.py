"""The directory of an etcd's certificates: made with its CAs, and grown by members and clients that these sign.

Whatever is made is made whole beside its place and renamed into it; nothing that is there is ever overwritten or
changed. Keys are 0600 in folders that are 0700 from their first instant. Nothing is renewed or judged here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from keyctl.errors import UnusableInputError, WrongUsageError
from keyctl.keys.private_files import require_private, sync_directory
from keyctl.pki.folders import placed, there
from keyctl.pki.inspect import key_matches
from keyctl.pki.issue import Issued, KeyKind, issue, kind_of, new_authority, write_file, write_pair
from keyctl.pki.layout import CA, CLIENT, PEER, PEER_CA, SERVER, Layout
from keyctl.pki.parties import Client, Member


@dataclass(frozen=True, slots=True)
class Terms:
    """From when and for how long certificates hold, and of what kind their keys are: None is that of the CA."""

    now: datetime
    lifetime: timedelta
    kind: KeyKind | None = None


def create(
    directory: Path,
    members: Sequence[Member],
    clients: Sequence[Client],
    terms: Terms,
    *,
    ca_lifetime: timedelta,
    one_ca: bool,
) -> Layout:
    """Make `directory` with CAs of its own and what they sign, whole or not at all.

    With `one_ca` the CA of servers and clients signs peers too.

    Raises `RefusedError` where something is at `directory`, `WrongUsageError` for two of one name,
    `UnusableInputError` where it cannot be made or a certificate would outlive its CA.
    """
    _check_distinct(members, clients)
    if directory.name in ("", ".."):
        raise WrongUsageError(f"{directory} is not called by a name of its own", hint="name a new directory")
    kind = terms.kind or KeyKind.ECDSA
    with placed(directory) as draft:
        layout = Layout(draft)
        for stem, name in ((CA, "etcd-ca"), *(() if one_ca else ((PEER_CA, "etcd-peer-ca"),))):
            write_pair(draft, stem, new_authority(name, now=terms.now, lifetime=ca_lifetime, kind=kind))
        for folder in ("members", "clients"):
            (draft / folder).mkdir(mode=0o700)
        _fill(layout, members, clients, terms)
        sync_directory(draft)
    return Layout(directory)


def add(directory: Path, members: Sequence[Member], clients: Sequence[Client], terms: Terms) -> Layout:
    """One more member or client, or several, signed by the CAs that `create` made in `directory`.

    Raises `RefusedError` where one of them is there already, and makes none then; `UnusableInputError` where the CA
    cannot be used; `WrongUsageError` for two of one name.
    """
    _check_distinct(members, clients)
    layout = Layout(directory)
    for place in (*(layout.member(one.name) for one in members), *(layout.client(one.name) for one in clients)):
        if os.path.lexists(place):
            raise there(place)
    _fill(layout, members, clients, terms)
    return layout


def _fill(layout: Layout, members: Sequence[Member], clients: Sequence[Client], terms: Terms) -> None:
    signing = Signing(layout, terms)
    for member in members:
        with placed(layout.member(member.name)) as draft:
            signing.member(member, draft)
    for client in clients:
        with placed(layout.client(client.name)) as draft:
            signing.client(client, draft)


class Signing:
    """The CAs of `layout` at work. Raises `UnusableInputError` where they cannot be."""

    def __init__(self, layout: Layout, terms: Terms) -> None:
        self._terms = terms
        self._ca = _load(layout, CA)
        self._peer_ca = _load(layout, PEER_CA) if layout.has_peer_ca else self._ca
        self._kind = terms.kind or kind_of(self._ca)

    def member(self, member: Member, folder: Path) -> None:
        """Write all that a member needs into `folder`, which is empty."""
        write_file(folder / f"{CA}.crt", self._ca.certificate, mode=0o644)
        if self._peer_ca is not self._ca:
            write_file(folder / f"{PEER_CA}.crt", self._peer_ca.certificate, mode=0o644)
        for stem, authority, subject in ((SERVER, self._ca, member.server), (PEER, self._peer_ca, member.peer)):
            pair = issue(authority, subject, now=self._terms.now, lifetime=self._terms.lifetime, kind=self._kind)
            write_pair(folder, stem, pair)
        sync_directory(folder)

    def client(self, client: Client, folder: Path) -> None:
        """Write all that a client needs into `folder`, which is empty."""
        write_file(folder / f"{CA}.crt", self._ca.certificate, mode=0o644)
        terms = self._terms
        pair = issue(self._ca, client.subject, now=terms.now, lifetime=terms.lifetime, kind=self._kind)
        write_pair(folder, CLIENT, pair)
        sync_directory(folder)


def _load(layout: Layout, stem: str) -> Issued:
    """The CA `stem`, if it is one that can sign. Raises `UnusableInputError`."""
    certificate, key = layout.certificate(stem), layout.key(stem)
    if key.is_symlink():
        raise UnusableInputError(f"{key} is a symbolic link", hint="put the CA's key itself there")
    try:
        require_private(key)
        authority = Issued(certificate.read_bytes(), key.read_bytes())
    except OSError as error:
        raise UnusableInputError(
            f"the CA in {layout.root} cannot be used",
            cause=f"{error.filename}: {(error.strerror or 'cannot be read').lower()}",
            hint="name a directory that certs init made, with its CA's key in it",
        ) from error
    if not key_matches(certificate, key):
        raise UnusableInputError(f"{key} is not the key of {certificate}", hint="put the CA's own key there")
    try:
        constraints = x509.load_pem_x509_certificate(authority.certificate).extensions
        is_ca = constraints.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, x509.ExtensionNotFound):
        is_ca = False
    if not is_ca:
        raise UnusableInputError(f"{certificate} is no CA", hint="name a directory that certs init made")
    return authority


def _check_distinct(members: Sequence[Member], clients: Sequence[Client]) -> None:
    for what, names in (("member", [one.name for one in members]), ("client", [one.name for one in clients])):
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise WrongUsageError(f"{what} {twice} is named twice", hint="name each once, with all of its hosts")
    if not members and not clients:
        raise WrongUsageError("nobody to issue a certificate to", hint="give --member NAME=HOST or --client NAME")
