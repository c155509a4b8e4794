"""What stands in the way of destroying a key, or of calling it out of use (rule R4): facts in, reasons out.

Pure. Whoever destroys a key takes part of the past from whoever needs it, so
each reason is named, not the first one only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from shlex import quote

from keyctl.errors import RefusedError
from keyctl.keys.backups import Backup
from keyctl.keys.key import KeyRef
from keyctl.keys.ledger import KeyRecord, KeyState
from keyctl.keys.shown import shown_ref

# NOTE: a run killed between making a key and planning with it leaves one that was never used, and no way to use it.
DESTROYABLE = (KeyState.PRE_ACTIVATION, KeyState.DEACTIVATED, KeyState.COMPROMISED)

_TAKE_OUT = "take it out of use first: keyctl rotate"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One reason, in a sentence, and what can be done about it."""

    reason: str
    hints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that may need the key of `record`, as it was found.

    `unseen` says why a part of the cluster could not be judged. `holders` are the
    servers whose file has the key, with its path. `values` counts the live values
    under it by resource. `snapshots` are the registered ones that need it;
    `histories` those whose etcd can still read them, `strangers` those whose etcd
    the cluster file does not list. `nodes` are reasons of their own, and `begun`
    the keys of rotations of which this machine knows nothing.
    """

    record: KeyRecord
    under_way: bool
    unseen: tuple[RefusedError, ...]
    holders: tuple[tuple[str, str], ...]
    values: tuple[tuple[str, int], ...]
    snapshots: tuple[Backup, ...] = ()
    histories: tuple[Backup, ...] = ()
    strangers: tuple[Backup, ...] = ()
    nodes: tuple[Obstacle, ...] = ()
    begun: tuple[KeyRef, ...] = ()


def obstacles(facts: Facts) -> tuple[Obstacle, ...]:
    """Every reason not to destroy the key; none means that nothing needs it."""
    return (*_of_life(facts), *_of_rotations(facts), *_of_servers(facts), *_of_values(facts), *_of_backups(facts))


def require_none(facts: Facts) -> None:
    """Raise `RefusedError` (R4) with every reason not to destroy the key."""
    _refuse(facts, "destroyed", obstacles(facts))


def require_unused(facts: Facts) -> None:
    """Raise `RefusedError` (R4) with every reason not to call the key deactivated. Backups may need one that is."""
    _refuse(facts, "deactivated", (*_of_rotations(facts), *_of_servers(facts), *_of_values(facts)))


def _refuse(facts: Facts, what: str, found: tuple[Obstacle, ...]) -> None:
    if found:
        hints = dict.fromkeys(hint for obstacle in found for hint in obstacle.hints)
        raise RefusedError(
            f"key {facts.record.ref} is not {what}",
            cause="\n".join(obstacle.reason for obstacle in found),
            hint=tuple(hints),
            rule="R4",
        )


def argument(ref: KeyRef) -> str:
    """`ref` as the command line takes it."""
    return f"{ref.provider}:{ref.name}"


def _of_life(facts: Facts) -> Iterator[Obstacle]:
    record = facts.record
    if record.state is KeyState.DESTROYED:
        yield Obstacle(f"it was destroyed already, at {record.history[-1].at}")
    elif record.state not in DESTROYABLE:
        # NOTE: a key that values need and no server has cannot be rotated away: it goes back into the files first.
        lost = facts.values and not facts.holders
        yield Obstacle(
            f"it is {record.state}; only a deactivated or compromised key may be destroyed",
            () if lost else (_TAKE_OUT,),
        )


def _of_rotations(facts: Facts) -> Iterator[Obstacle]:
    if facts.under_way:
        yield Obstacle("a rotation of this cluster is under way", ("finish it first: keyctl rotate --resume",))
        return
    for ref in facts.begun:
        yield Obstacle(
            f"a rotation may be under way elsewhere: {shown_ref(ref)} is in a file, and the ledger does not have it "
            "in use",
            (
                "finish it where it was begun: keyctl rotate --resume",
                "where none was, and somebody put that key there by hand: keyctl rotate",
            ),
        )


def _of_servers(facts: Facts) -> Iterator[Obstacle]:
    for error in facts.unseen:
        yield Obstacle(f"{error}{f' ({error.cause})' if error.cause else ''}", error.hints)
    for server, path in facts.holders:
        yield Obstacle(f"{server} still has it in {path}", (_TAKE_OUT,))
    yield from facts.nodes


def _of_values(facts: Facts) -> Iterator[Obstacle]:
    if facts.values:
        total = sum(count for _, count in facts.values)
        where = ", ".join(f"{count} of {resource}" for resource, count in facts.values)
        yield Obstacle(
            f"live values stand under it: {total} ({where})",
            () if facts.holders else ("put it back into every server's file, then rewrite them: keyctl rotate",),
        )


def _of_backups(facts: Facts) -> Iterator[Obstacle]:
    for backup in facts.snapshots:
        yield Obstacle(
            f"the snapshot {backup.location} of {backup.at} needs it, wherever its copies are",
            (f"once every copy of it is gone: {_forgetting(facts, backup)}",),
        )
    for backup in facts.histories:
        yield Obstacle(
            f"etcd {backup.location} still has revisions before {backup.revision}, with values under it",
            ("wait until the API servers have compacted etcd; they do every 5 minutes unless told otherwise",),
        )
    for backup in facts.strangers:
        yield Obstacle(
            f"the history of etcd {backup.location} needs it, and the cluster file has no such endpoint",
            (f"once that etcd is gone: {_forgetting(facts, backup)}",),
        )


def _forgetting(facts: Facts, backup: Backup) -> str:
    """The command that leaves `backup` out of account. NOTE: a shell would take apart what is not quoted."""
    return f"keyctl keys destroy {quote(argument(facts.record.ref))} --forget-backup {quote(backup.location)}"
