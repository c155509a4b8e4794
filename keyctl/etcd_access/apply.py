"""Carry out what is wanted, so that nobody who needs etcd is locked out of it at any instant.

Users and roles come first and are read back; they count for nothing yet. Then they are turned on and every
certificate is tried at every member. If one is refused, or the run is stopped, they are turned off again.

NOTE: whether a member takes the common name of a certificate for a user (--client-cert-auth) cannot be seen while
users are off. Where it does not, nobody is anybody once they are on, and our own certificate cannot turn them off. So
a user with a password is there from before until after the proof: the way back. The password is kept in a file for a
run that is killed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from keyctl.errors import KeyctlError, RefusedError, StoppedError, UnreachableError
from keyctl.etcd.interface import EtcdUsers
from keyctl.etcd_access.guards import is_unproven
from keyctl.etcd_access.interface import Site
from keyctl.etcd_access.proof import Trial, tried
from keyctl.etcd_access.steps import (
    Addition,
    AddRole,
    AddUser,
    Allow,
    Forbid,
    GiveRole,
    Narrowing,
    Seen,
    TakeRole,
    additions,
    inverse,
    narrowings,
)
from keyctl.etcd_access.wanted import ROOT, WAY_BACK, Wanted
from keyctl.stored.display import display

_AGAIN = "keyctl etcd-access apply --disable"


def observe(users: EtcdUsers) -> Seen:
    """What etcd says of its users and roles now."""
    return Seen(users.enabled(), users.users(), users.roles())


class Applier:
    """Works on `site` towards `wanted`; `say` gets a line about each act."""

    def __init__(self, site: Site, wanted: Wanted, say: Callable[[str], None]) -> None:
        self._site, self._wanted, self._say = site, wanted, say

    def apply(self) -> tuple[Trial, ...]:
        """Bring everything to what is wanted; what was tried in the end, all of which holds.

        Raises `RefusedError` before anything is changed where a certificate does not work even with users and roles
        off, and `StoppedError` where a later step failed: what was turned on or taken is then as it was before.
        """
        seen = observe(self._site.users)
        if not seen.enabled:
            self._require_reach()
        try:
            return self._work(seen)
        except KeyboardInterrupt as error:
            raise StoppedError("interrupted part-way", hint="run it again: it goes on where it stopped") from error

    def _work(self, seen: Seen) -> tuple[Trial, ...]:
        for addition in additions(seen, self._wanted):
            self._carry_out(addition)
        self._require(not additions(observe(self._site.users), self._wanted), "what was added is not there")
        if seen.enabled and not is_unproven(seen):
            return self._narrow_at_work(seen)
        for narrowing in narrowings(seen, self._wanted):
            self._carry_out(narrowing)
        self._require(not narrowings(observe(self._site.users), self._wanted), "what was taken is still there")
        return self._turn_on(seen)

    def _require_reach(self) -> None:
        """Each certificate must work now, when it needs no user, or its refusal later would say nothing."""
        for trial in tried(self._site.doors, self._wanted.prefix, enabled=False):
            if not trial.holds:
                raise RefusedError(f"{trial}, though users and roles are off; nothing was changed")

    def _narrow_at_work(self, seen: Seen) -> tuple[Trial, ...]:
        """Take what is too much while users and roles count, and give it back where somebody needs it."""
        steps = narrowings(seen, self._wanted)
        done: list[Narrowing] = []
        try:
            for step in steps:
                # Before the act: one that was cut off may have happened.
                done.append(step)
                self._carry_out(step)
            trials = self._prove()
        except (KeyctlError, KeyboardInterrupt) as error:
            kept = self._give_back(done)
            if kept:
                raise StoppedError(
                    "etcd's users and roles are not as wanted, and not all that was taken could be given back",
                    cause="\n".join((_reason(error), *kept)),
                    hint=f"give it back with etcdctl; or let everybody in until that is mended: {_AGAIN}",
                ) from error
            back = "what was taken is given back" if done else "nothing was taken"
            raise StoppedError(f"etcd's users and roles are not as wanted; {back}", cause=_reason(error)) from error
        # A run that was killed at its very end leaves a password of nobody.
        self._site.rope.forget()
        return trials

    def _give_back(self, taken: list[Narrowing]) -> tuple[str, ...]:
        """Give back everything that can be; what could not is said."""
        kept = []
        for step in map(inverse, reversed(taken)):
            try:
                self._carry_out(step)
            except KeyctlError as error:
                kept.append(f"not done: {step}: {_reason(error)}")
        return tuple(kept)

    def _turn_on(self, seen: Seen) -> tuple[Trial, ...]:
        users, rope = self._site.users, self._site.rope
        if not seen.enabled:
            self._say("prepare the way back")
            if seen.roles_of(WAY_BACK) is not None:
                users.delete_user(WAY_BACK)
            users.add_user(WAY_BACK, rope.renew())
            users.give_role(WAY_BACK, ROOT)
            self._require(observe(users).roles_of(WAY_BACK) == (ROOT,), "the way back is not there")
        try:
            if not seen.enabled:
                self._say("turn users and roles on")
                users.enable()
            self._say("try every certificate at every member")
            trials = self._prove()
        except (KeyctlError, KeyboardInterrupt) as error:
            self._say("turn users and roles off again")
            turn_off(self._site, because=_reason(error))
            raise StoppedError(
                "users and roles of etcd are off again: with them on, not everybody was let in",
                cause=_reason(error),
                hint="mend that and run it again; the users and roles that were made do nothing meanwhile",
            ) from error
        self._say("take the way back away")
        _take_way_back(users, self._site)
        return trials

    def _prove(self) -> tuple[Trial, ...]:
        """Try everything at every member. Raises `RefusedError` for the first that etcd does not do as it should."""
        for url, member in self._site.members:
            if not member.enabled():
                raise RefusedError(f"etcd at {url} says that users and roles are off")
            # Only root is told: this shows that we could turn it all off again.
            member.users()
        trials = []
        for trial in tried(self._site.doors, self._wanted.prefix, enabled=True):
            if not trial.holds:
                raise RefusedError(str(trial))
            trials.append(trial)
        return tuple(trials)

    def _carry_out(self, step: Addition | Narrowing) -> None:
        self._say(str(step))
        users = self._site.users
        match step:
            case AddRole(role):
                users.add_role(role)
            case Allow(role, permission):
                users.allow(role, permission)
            case AddUser(user):
                users.add_user(user)
            case GiveRole(user, role):
                users.give_role(user, role)
            case TakeRole(user, role):
                users.take_role(user, role)
            case Forbid(role, permission):
                users.forbid(role, permission)

    def _require(self, holds: bool, what: str) -> None:
        if not holds:
            raise StoppedError(
                f"{what}, by what etcd says",
                cause="somebody else may be changing its users; whether they count was not touched",
                hint="run it again",
            )


def is_on(site: Site) -> bool:
    """Whether users and roles are on. An etcd that tells us nothing, to which there is a way back, has them on."""
    try:
        return site.users.enabled()
    except UnreachableError:
        if site.rope.kept() is None:
            raise
        return True


def turn_off(site: Site, because: str = "") -> None:
    """Let users and roles count no more, as ourselves or else by the way back, and read that it is so.

    `because` is what went wrong before. Raises `UnreachableError` where neither is let do it.
    """
    failures: list[KeyctlError] = []
    for who in _those_who_may(site):
        try:
            who().disable()
            if site.users.enabled():
                raise RefusedError("etcd says that users and roles are still on")
        except KeyctlError as error:
            failures.append(error)
            continue
        _take_way_back(site.users, site)
        return
    way = f"; the password of {WAY_BACK} is in {site.rope.place}" if site.rope.kept() else ""
    reasons = (because, *map(_reason, failures)) if because else map(_reason, failures)
    raise UnreachableError(
        "users and roles of etcd could not be turned off",
        cause="\n".join(dict.fromkeys(reasons)),
        hint=f"with a certificate that is a user with the role root: {_AGAIN}{way}",
    ) from failures[-1]


def _those_who_may(site: Site) -> Iterator[Callable[[], EtcdUsers]]:
    yield lambda: site.users
    if (password := site.rope.kept()) is not None:
        yield lambda: site.login(password)


def _take_way_back(users: EtcdUsers, site: Site) -> None:
    if any(user.name == WAY_BACK for user in users.users()):
        users.delete_user(WAY_BACK)
    site.rope.forget()


def _reason(error: BaseException) -> str:
    if not isinstance(error, KeyctlError):
        return "interrupted"
    return f"{error}: {display(error.cause)}" if error.cause else str(error)
