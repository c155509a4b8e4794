"""The state machine of a rotation: from what was seen to the next step.

Pure, and the only place that decides. It keeps no memory: after a crash the same
observation gives the same step. Rules named R… are those of
`docs/rotation-rules.md`.
"""

from __future__ import annotations

from dataclasses import replace

from keyctl.rotation.observation import Observation, Proofs, ServerView
from keyctl.rotation.plan import Stage, State, Way
from keyctl.rotation.steps import (
    AwaitLoaded,
    Blocked,
    ClearHistory,
    Done,
    EditManifest,
    ProveGone,
    ProveReadable,
    ProveServer,
    ProveVerified,
    Resecure,
    Restart,
    RestoreManifest,
    Rewrite,
    Settle,
    SettleAgain,
    Step,
    Switch,
    TurnedUp,
    WriteFile,
)

# Two proofs with the census the same before and after: `rotation-rules.md`, state "readable".
_READABLE_PROOFS = 2


def next_step(seen: Observation) -> Step:
    """The one thing to do now. `Blocked` when the observation allows no edge."""
    blocked = _blocked(seen)
    if blocked is not None:
        return blocked
    if seen.late:
        # NOTE: before what is down: a server that cannot read these values comes up only with the key put back (R10).
        return _put_back(seen)
    kept = next((server for server in seen.servers if seen.withdraws and _may_lack_plugin(server)), None)
    if kept is not None:
        return WriteFile(kept.name, Stage.BASE)
    down = next((server for server in seen.servers if not server.ready), None)
    if down is not None:
        return _bring_back(down, seen.way)
    step = _back(seen) if seen.way is Way.BACK else _forward(seen)
    return step or _leave(seen)


def _forward(seen: Observation) -> Step | None:
    """The way to a new key that writes everywhere (R2); None when it does."""
    step = _move(seen, Stage.ADDED, Way.FORWARD)
    if step is not None:
        return step
    if any(_lacks(server.disk, Stage.PROMOTED) for server in seen.servers) and seen.proofs.readable < _READABLE_PROOFS:
        return ProveReadable()
    return _move(seen, Stage.PROMOTED, Way.FORWARD)


def _back(seen: Observation) -> Step | None:
    """The way back to the old key writing everywhere: put the old ones back, then demote; None when it writes (R7)."""
    return _move(seen, Stage.PROMOTED, Way.BACK) or _move(seen, Stage.ADDED, Way.BACK)


def _leave(seen: Observation) -> Step:
    """Every server writes with the key that stays: rewrite, prove, and take the other one away (R3, R6, R7)."""
    proofs, goal = seen.proofs, seen.way.goal
    placed = tuple(server.name for server in seen.servers if server.reloads and server.loaded is not server.disk)
    if placed and proofs.switched is None:
        return AwaitLoaded(placed)
    if not seen.leaves or not all(server.disk is server.loaded is goal for server in seen.servers):
        step = _prove_unused(proofs)
        if step is not None:
            return step
        if not seen.leaves:
            return Done()
        if not proofs.history:
            return ClearHistory()
        if not seen.resecured:
            return Resecure()
    step = _move(seen, goal, seen.way)
    if step is not None:
        return step
    if not proofs.settled_again:
        return SettleAgain()
    return ProveGone() if proofs.gone is None else Done()


def _prove_unused(proofs: Proofs) -> Step | None:
    """What is still missing of the proof that no value is under a leaving key, and none will be."""
    if proofs.switched is None:
        return Switch()
    if proofs.left is None or proofs.left > 0:
        return Rewrite()
    if not proofs.settled:
        return Settle()
    return ProveVerified() if proofs.verified is None else None


def _put_back(seen: Observation) -> Step:
    """Values are under a key that some server has let go: every server gets it back, then they are rewritten."""
    down = next((server for server in seen.servers if not server.ready), None)
    # NOTE: with one server down no other is restarted (R9).
    where = seen if down is None else replace(seen, servers=(down,))
    step = _move(where, seen.way.last, seen.way.other)
    if step is not None:
        return step
    return Rewrite() if seen.proofs.left is None or seen.proofs.left > 0 else TurnedUp()


def state_of(seen: Observation) -> State:
    """The state that the observation proves, from `generated` on."""
    if seen.way is Way.BACK:
        done = seen.proofs.gone is not None or (seen.proofs.verified is not None and not seen.leaves)
        return State.ABORTED if done else State.ABORTING
    proofs = seen.proofs
    stages = {stage for s in seen.servers for stage in (s.disk, s.loaded) if stage is not None}
    if proofs.gone is not None:
        return State.RETIRED
    if Stage.RETIRED in stages:
        return State.RETIRING
    if proofs.verified is not None:
        return State.RESECURED if seen.resecured and proofs.history else State.VERIFIED
    if proofs.switched is not None:
        return State.REWRITING if proofs.left is not None else State.SWITCHED
    if any(server.disk is Stage.PROMOTED for server in seen.servers):
        return State.PROMOTING
    if proofs.readable >= _READABLE_PROOFS:
        return State.READABLE
    return State.GENERATED if all(_at_the_start(server) for server in seen.servers) else State.ADDING


def _at_the_start(server: ServerView) -> bool:
    return server.disk is server.floor and server.loaded in (None, server.floor)


def _blocked(seen: Observation) -> Blocked | None:
    for server in seen.servers:
        waited_for = seen.late or (seen.withdraws and _is_withdrawn_from(server))
        problem = _foreign(server, seen.way) or (None if waited_for else _down(server, seen.way))
        if problem is not None:
            return problem
    apart = _too_far_apart(seen)
    if apart is not None:
        return apart
    if seen.census_problem:
        return Blocked("R11", seen.census_problem, (*seen.census_hints, "then: keyctl rotate --resume"))
    return None


def _too_far_apart(seen: Observation) -> Blocked | None:
    """Servers more than one stage apart do not read what each other write (R1, R2)."""
    stages = [(stage, s.name) for s in seen.servers for stage in _reading(s) if stage is not None]
    ahead, behind = max(stages), min(stages)
    if ahead[0] - behind[0] <= 1:
        return None
    if behind[0] is Stage.BASE:
        message = f"{ahead[1]} has a file that writes with the new key, but {behind[1]} cannot read that key"
    else:
        message = f"{behind[1]} has a file that writes with an old key, but {ahead[1]} cannot read that key"
    return Blocked(
        "R2",
        message,
        f"put the file of {ahead[1]} on {behind[1]}, make it load, then: keyctl rotate --resume",
    )


def _reading(server: ServerView) -> tuple[Stage | None, Stage | None]:
    """The stages that a server's processes read with, now and after its next start."""
    # NOTE: a server that lost its flag again, to an upgrade, say, gets it back, and is restarted: that is the mending.
    flagless = not server.had_flag and server.loaded is Stage.BASE is not server.disk
    return (server.disk, None if flagless else server.loaded)


def _foreign(server: ServerView, way: Way) -> Blocked | None:
    if server.disk is None:
        return Blocked(
            "R8",
            f"the encryption configuration of {server.name} was changed by somebody else",
            "find out who manages that file; put the expected file back, then: keyctl rotate --resume",
        )
    if server.ready and server.loaded is None and not server.unsure:
        return Blocked(
            "R8",
            f"{server.name} has loaded a configuration that is none of this rotation's",
            f"make {server.name} load the file on its host, then: keyctl rotate --resume",
        )
    # NOTE: the old keys are put back by an older file; that much is ours, whoever did it harms nobody.
    put_back = server.disk is Stage.PROMOTED
    if way is Way.FORWARD and server.loaded is not None and server.disk < server.loaded and not put_back:
        return Blocked(
            "R8",
            f"an older encryption configuration was put back on {server.name}",
            "find out who manages that file; put the newer file back, then: keyctl rotate --resume",
        )
    return None


def _down(server: ServerView, way: Way) -> Blocked | None:
    # NOTE: a server that we restart is down with a file of ours on its disk: the way forward is to start it again.
    # One that is down with the file it always had was stopped by somebody else, unless that file is our goal.
    ours = way is Way.BACK or server.disk is not server.floor
    if server.ready or server.seen_ready or (not server.reloads and ours) or _reads_too_little(server, way):
        return None
    why = f": {server.problem}" if server.problem else ""
    return Blocked("R11", f"{server.name} is not ready{why}", f"bring {server.name} back, then: keyctl rotate --resume")


def _bring_back(server: ServerView, way: Way) -> Step:
    """The way forward with a server that is down; nothing else is touched before it is back (R9, R11)."""
    if _reads_too_little(server, way):
        return WriteFile(server.name, Stage.PROMOTED)
    # NOTE: this run took the flag away, and a kubelet restarts the server at once: that one is waited for. What an
    # earlier run took away is proven anew first.
    taken = server.seen_ready and not _lost_its_flag(server, way)
    if server.flag_missing and server.disk is not Stage.BASE and not taken:
        return EditManifest(server.name)
    if server.reloads or server.seen_ready:
        return AwaitLoaded((server.name,))
    return Restart(server.name, _expected(server))


def _may_lack_plugin(server: ServerView) -> bool:
    """Whether the file with a plugin may be why the server is down, or what it refuses to load.

    NOTE: nothing was written with the plugin, so the file as it was reads everything.
    """
    refused = not server.ready or (server.reloads and server.loaded is Stage.BASE)
    return refused and server.disk is Stage.ADDED and server.floor is Stage.BASE


def _is_withdrawn_from(server: ServerView) -> bool:
    """Whether the server is to get its file without the plugin, or has it and is down with the other one loaded."""
    return _may_lack_plugin(server) or (server.disk is Stage.BASE is server.floor and not server.ready)


def _reads_too_little(server: ServerView, way: Way) -> bool:
    """Whether the server, going back, has let go of the old keys: what landed late under one may keep it down (R10)."""
    return way is Way.BACK and server.disk is Stage.RETIRED


def _expected(server: ServerView) -> Stage:
    """What the server loads when it starts now."""
    return Stage.BASE if server.flag_missing or server.disk is None else server.disk


def _move(seen: Observation, stage: Stage, way: Way) -> Step | None:
    """The next step that brings every server to `stage`, or beyond on that way, proven; None when all are there."""
    for server in seen.servers:
        if server.reloads and _off(server, server.disk, stage, way):
            return WriteFile(server.name, stage)
    for server in seen.servers:
        step = None if server.reloads else _move_by_restart(server, stage, way)
        if step is not None:
            return step
    waiting = tuple(s.name for s in seen.servers if s.reloads and _off(s, s.loaded, stage, way))
    if waiting:
        return AwaitLoaded(waiting)
    for server in seen.servers:
        if _off(server, server.proven, stage, way):
            return _prove(server)
    return None


def _prove(server: ServerView) -> Step:
    """The proof of a server, or what has to be before it: nothing is proven of a file that nobody knows."""
    if not server.ready or (server.unsure and server.reloads):
        return AwaitLoaded((server.name,))
    return Restart(server.name, _expected(server)) if server.unsure else ProveServer(server.name)


def _move_by_restart(server: ServerView, stage: Stage, way: Way) -> Step | None:
    """One server at a time (R9): file, flag, restart, proof, and only then the next server."""
    if way is Way.BACK and stage is Stage.BASE and not server.had_flag:
        return _take_flag_away(server)
    if _off(server, server.disk, stage, way):
        return WriteFile(server.name, stage)
    if server.flag_missing:
        return EditManifest(server.name) if _lost_its_flag(server, way) else None
    if server.loaded is not _expected(server):
        return Restart(server.name, _expected(server))
    return ProveServer(server.name) if _off(server, server.proven, stage, way) else None


def _lost_its_flag(server: ServerView, way: Way) -> bool:
    """Whether it was somebody else who took the flag of this server away.

    NOTE: on the way back this rotation does, after the proofs; whether it still may is found out again first. From a
    server with a later file this way has not taken it.
    """
    return way is Way.FORWARD or server.disk not in {Stage.BASE, Stage.ADDED}


def _take_flag_away(server: ServerView) -> Step | None:
    """The file goes last: a server with the flag does not start without it."""
    if not server.flag_missing:
        return RestoreManifest(server.name)
    if server.loaded is not Stage.BASE:
        return Restart(server.name, Stage.BASE)
    if server.proven is not Stage.BASE:
        return ProveServer(server.name)
    return None if server.disk is Stage.BASE else WriteFile(server.name, Stage.BASE)


def _off(server: ServerView, have: Stage | None, stage: Stage, way: Way) -> bool:
    """Whether `have` has not yet come to `stage` on that way."""
    if way is Way.FORWARD:
        return _lacks(have, stage)
    return have is None or have > max(stage, server.floor)


def _lacks(have: Stage | None, stage: Stage) -> bool:
    return have is None or have < stage
