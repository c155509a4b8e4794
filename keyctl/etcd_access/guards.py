"""What forbids that users and roles are turned on: with any of this somebody would be locked out. Pure values."""

from __future__ import annotations

from dataclasses import dataclass

from keyctl.errors import RefusedError
from keyctl.etcd_access.steps import Seen
from keyctl.etcd_access.wanted import ROOT, WAY_BACK, Wanted
from keyctl.stored.display import display


@dataclass(frozen=True, slots=True)
class Situation:
    """What was observed before anything is done.

    `connection` is the common name of the certificate that we use, `password` whether we log in with one.
    `outside` counts keys that are not the API servers'. `unlisted` are members that none of our endpoints is.
    """

    seen: Seen
    connection: str
    password: bool
    outside: int
    unlisted: tuple[str, ...]


def is_administrator(situation: Situation, wanted: Wanted) -> bool:
    """Whether our certificate will be a user with the role root once everything is as wanted."""
    known = {user.name for user in wanted.users}
    has = situation.seen.roles_of(situation.connection) or ()
    return situation.connection in wanted.administrators or (situation.connection not in known and ROOT in has)


def require_safe(situation: Situation, wanted: Wanted) -> None:
    """Raise `RefusedError` when users and roles could lock somebody out."""
    if situation.password:
        raise RefusedError(
            "this connection logs in to etcd with a password, so nothing would show that its certificate does",
            cause="every user that is made here is one by its certificate alone",
            hint="leave etcd.user and etcd.passwordFile out of the cluster file, and use a certificate whose common "
            "name is root",
        )
    if not is_administrator(situation, wanted):
        raise RefusedError(
            "whoever turns etcd's users on must be able to turn them off, and this connection could not",
            cause=f"the common name of its certificate is {display(situation.connection)!r}, which would not have the "
            "role root",
            hint="connect with a certificate whose common name is root: keyctl certs issue DIR --client root",
        )
    if situation.outside:
        raise RefusedError(
            f"this etcd is shared: {situation.outside} keys are not below {display(wanted.prefix)}",
            cause="whose they are is not known here, and whoever uses them would be locked out",
            hint="look whose they are: etcdctl get --prefix --keys-only ''; say --etcd-prefix where the API servers "
            "have another one; users and roles of an etcd with other tenants are for etcdctl to make",
        )
    if situation.unlisted:
        raise RefusedError(
            "not every member of etcd could be asked whether it lets the API servers in",
            cause=f"no endpoint is {', '.join(map(display, situation.unlisted))}, and each member has flags of its own",
            hint="list all members: --endpoints URL,URL,URL",
        )


def is_unproven(seen: Seen) -> bool:
    """Whether users and roles were turned on by a run that did not come to the proof that they let everybody in."""
    return seen.enabled and seen.roles_of(WAY_BACK) is not None
