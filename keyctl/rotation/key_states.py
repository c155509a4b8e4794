"""What the ledger is told of the keys of a rotation: which one has leaked, and at the end which are in use."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from keyctl.keys.ledger import KeyState
from keyctl.rotation.plan import Plan, State, Way
from keyctl.rotation.world import World

_IN_USE = {KeyState.PRE_ACTIVATION, KeyState.ACTIVE, KeyState.SUSPENDED}

Write = Callable[[str, Mapping[str, object]], None]


def note_compromised(world: World, plan: Plan) -> None:
    """The key that this rotation is made for has leaked, however the rotation ends."""
    states = {record.ref: record.state for record in world.store.records()}
    if plan.compromised is not None and states.get(plan.compromised) in {*_IN_USE, KeyState.DEACTIVATED}:
        world.store.note_state(plan.compromised, KeyState.COMPROMISED)


def note_end(world: World, plan: Plan, state: State, write: Write) -> None:
    """The keys that write from now on are active, and those that left are not in use any more. `write` journals."""
    states = {record.ref: record.state for record in world.store.records()}
    way = Way.BACK if state is State.ABORTED else Way.FORWARD
    left = plan.leaving(way) if way is Way.BACK or plan.retires else ()
    write("intent", {"step": "note-state", "key": str(plan.new)})
    if way is Way.FORWARD and plan.new in states:
        world.store.note_state(plan.new, KeyState.ACTIVE)
    for ref in left:
        if states.get(ref) in _IN_USE:
            world.store.note_state(ref, KeyState.DEACTIVATED)
