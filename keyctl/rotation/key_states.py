"""What the ledger is told of the keys of a rotation: which one has leaked, and at the end which are in use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from keyctl.keys.key import KeyRef
from keyctl.keys.ledger import KeyState, Moment
from keyctl.rotation.plan import Plan, State, Way
from keyctl.rotation.same_bytes import names_of
from keyctl.rotation.world import World

_IN_USE = {KeyState.PRE_ACTIVATION, KeyState.ACTIVE, KeyState.SUSPENDED}

Write = Callable[[str, Mapping[str, object]], None]


def note_compromised(world: World, plan: Plan) -> None:
    """The key that this rotation is made for has leaked, by whatever name, and however the rotation ends."""
    states = {record.ref: record.state for record in world.store.records()}
    for ref in () if plan.compromised is None else names_of(world, None, plan.compromised):
        if states.get(ref) in {*_IN_USE, KeyState.DEACTIVATED}:
            world.store.note_state(ref, KeyState.COMPROMISED)


def note_end(world: World, plan: Plan, state: State, write: Write) -> None:
    """The keys that write from now on are active, and those that left are not in use any more. `write` journals."""
    states = {record.ref: record.state for record in world.store.records()}
    way, left = _left(plan, state)
    write("intent", {"step": "note-state", "key": str(plan.new)})
    if way is Way.FORWARD and plan.new in states:
        world.store.note_state(plan.new, KeyState.ACTIVE)
    for ref in left:
        if states.get(ref) in _IN_USE:
            world.store.note_state(ref, KeyState.DEACTIVATED)
    for ref in plan.old_refs if way is Way.BACK else ():
        if states.get(ref) is KeyState.DEACTIVATED:
            # NOTE: it had left the files already when the way turned.
            world.store.note_state(ref, KeyState.ACTIVE)


def note_writes(world: World, plan: Plan, state: State, journal: Iterable[Mapping[str, object]]) -> None:
    """Since when the new key is written with, and until when one that left was, by the proofs in `journal`."""
    proofs = [record for record in journal if record["kind"] == "proof" and "revision" in record]
    switched = [record for record in proofs if record["of"] == "switched"]
    verified = [record for record in proofs if record["of"] == "verified"]
    known = {record.ref for record in world.store.records()}
    way, left = _left(plan, state)
    # NOTE: on the way back it is the key of before that was proven to write.
    if way is Way.FORWARD and switched and plan.new in known:
        world.store.note_writes(plan.new, first=_moment(switched[0]))
    for ref in known.intersection(left) if verified else ():
        world.store.note_writes(ref, last=_moment(verified[-1]))


def _left(plan: Plan, state: State) -> tuple[Way, tuple[KeyRef, ...]]:
    """Which way the rotation ended, and the keys that left the files by that."""
    way = Way.BACK if state is State.ABORTED else Way.FORWARD
    return way, plan.leaving(way) if way is Way.BACK or plan.retires else ()


def _moment(proof: Mapping[str, object]) -> Moment:
    return Moment(int(str(proof["revision"])), str(proof["at"]))
