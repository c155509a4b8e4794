"""The state machine of a rotation: from what was seen to the next step.

Pure, and the only place that decides. It keeps no memory: after a crash the same
observation gives the same step. Rules named R… are those of
`docs/rotation-rules.md`.
"""

from __future__ import annotations

from dataclasses import dataclass

from keyctl.rotation.observation import Observation, ServerView
from keyctl.rotation.plan import Stage, State


@dataclass(frozen=True, slots=True)
class Blocked:
    """No edge may be taken: `rule` says why not, `message` what was seen."""

    rule: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class WriteFile:
    """Put the file of `stage` on the host of `server`."""

    server: str
    stage: Stage


@dataclass(frozen=True, slots=True)
class EditManifest:
    """Give `server` the flag and the mount that make it read the file."""

    server: str


@dataclass(frozen=True, slots=True)
class Restart:
    """Restart `server`; it must come back ready with the file of `stage` loaded."""

    server: str
    stage: Stage


@dataclass(frozen=True, slots=True)
class AwaitLoaded:
    """Wait until `servers` are ready with the file of `stage` loaded, without touching them."""

    servers: tuple[str, ...]
    stage: Stage


@dataclass(frozen=True, slots=True)
class ProveServer:
    """See `server`, with what it has loaded, list every encrypted resource."""

    server: str


@dataclass(frozen=True, slots=True)
class ProveReadable:
    """Prove once more, with the census before and after, that every server reads the new key (R2)."""


@dataclass(frozen=True, slots=True)
class Switch:
    """Prove by canaries that every server writes with the new key and reads what the others write; record r0, t0."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Rewrite what the raw scan finds not under the new key; ends with a fresh count."""


@dataclass(frozen=True, slots=True)
class Settle:
    """Wait until writes that were being handled at t0 have landed or failed."""


@dataclass(frozen=True, slots=True)
class ProveVerified:
    """Scan every etcd: nothing under an old key, everything opens."""


@dataclass(frozen=True, slots=True)
class Done:
    """Verified. The old key stays as a read key."""


Step = (
    Blocked
    | WriteFile
    | EditManifest
    | Restart
    | AwaitLoaded
    | ProveServer
    | ProveReadable
    | Switch
    | Rewrite
    | Settle
    | ProveVerified
    | Done
)

# Two proofs with the census the same before and after: `rotation-rules.md`, state "readable".
_READABLE_PROOFS = 2


def next_step(seen: Observation) -> Step:
    """The one thing to do now. `Blocked` when the observation allows no edge."""
    blocked = _blocked(seen)
    if blocked is not None:
        return blocked
    down = next((server for server in seen.servers if not server.ready), None)
    if down is not None:
        return _bring_back(down)
    advance = _advance(seen, Stage.ADDED)
    if advance is not None:
        return advance
    if any(server.disk is not Stage.PROMOTED for server in seen.servers) and seen.proofs.readable < _READABLE_PROOFS:
        return ProveReadable()
    advance = _advance(seen, Stage.PROMOTED)
    if advance is not None:
        return advance
    proofs = seen.proofs
    if proofs.switched is None:
        return Switch()
    if proofs.left is None or proofs.left > 0:
        return Rewrite()
    if not proofs.settled:
        return Settle()
    if proofs.verified is None:
        return ProveVerified()
    return Done()


def state_of(seen: Observation) -> State:
    """The state that the observation proves, from `generated` on."""
    proofs = seen.proofs
    loaded = [server.loaded for server in seen.servers if server.loaded is not None]
    if proofs.verified is not None:
        return State.VERIFIED
    if proofs.switched is not None:
        return State.REWRITING if proofs.left is not None else State.SWITCHED
    if any(server.disk is Stage.PROMOTED for server in seen.servers):
        return State.PROMOTING
    if proofs.readable >= _READABLE_PROOFS:
        return State.READABLE
    if any(server.disk is not Stage.BASE for server in seen.servers) or any(loaded):
        return State.ADDING
    return State.GENERATED


def _blocked(seen: Observation) -> Blocked | None:
    for server in seen.servers:
        problem = _foreign(server) or _down(server)
        if problem is not None:
            return problem
    behind = [s.name for s in seen.servers if s.loaded is Stage.BASE]
    ahead = [s.name for s in seen.servers if s.disk is Stage.PROMOTED]
    if behind and ahead:
        return Blocked(
            "R2",
            f"{ahead[0]} has a file that writes with the new key, but {behind[0]} cannot read that key",
            f"put the file of {ahead[0]} on {behind[0]}, make it load, then: keyctl rotate --resume",
        )
    if seen.census_problem:
        return Blocked(
            "R11", seen.census_problem, "list every API server once, by its own address, in the cluster file"
        )
    return None


def _foreign(server: ServerView) -> Blocked | None:
    if server.disk is None:
        return Blocked(
            "R8",
            f"the encryption configuration of {server.name} was changed by somebody else",
            "find out who manages that file; put the expected file back, then: keyctl rotate --resume",
        )
    if server.ready and server.loaded is None:
        return Blocked(
            "R8",
            f"{server.name} has loaded a configuration that is none of this rotation's",
            f"make {server.name} load the file on its host, then: keyctl rotate --resume",
        )
    if server.loaded is not None and server.disk < server.loaded:
        return Blocked(
            "R8",
            f"an older encryption configuration was put back on {server.name}",
            "find out who manages that file; put the newer file back, then: keyctl rotate --resume",
        )
    return None


def _down(server: ServerView) -> Blocked | None:
    # NOTE: a server that we restart is down with a file of ours on its disk: the way forward is to start it again.
    # One that is down with the file it always had was stopped by somebody else.
    if server.ready or server.seen_ready or (not server.reloads and server.disk is not Stage.BASE):
        return None
    why = f": {server.problem}" if server.problem else ""
    return Blocked("R11", f"{server.name} is not ready{why}", f"bring {server.name} back, then run this again")


def _bring_back(server: ServerView) -> Step:
    """The way forward with a server that is down; nothing else is touched before it is back (R9, R11)."""
    disk = Stage.BASE if server.disk is None else server.disk
    if server.reloads or server.seen_ready:
        return AwaitLoaded((server.name,), disk)
    if server.flag_missing:
        return EditManifest(server.name)
    return Restart(server.name, disk)


def _advance(seen: Observation, stage: Stage) -> Step | None:
    """The next step that brings every server to `stage` or beyond, proven; None when all are there."""
    for server in seen.servers:
        if server.reloads and _lacks(server.disk, stage):
            return WriteFile(server.name, stage)
    for server in seen.servers:
        step = None if server.reloads else _advance_by_restart(server, stage)
        if step is not None:
            return step
    waiting = tuple(s.name for s in seen.servers if s.reloads and _lacks(s.loaded, stage))
    if waiting:
        return AwaitLoaded(waiting, stage)
    for server in seen.servers:
        if _lacks(server.proven, stage):
            return ProveServer(server.name)
    return None


def _advance_by_restart(server: ServerView, stage: Stage) -> Step | None:
    """One server at a time (R9): file, flag, restart, proof, and only then the next server."""
    if _lacks(server.disk, stage):
        return WriteFile(server.name, stage)
    disk = stage if server.disk is None else server.disk
    if server.flag_missing:
        return EditManifest(server.name)
    if server.loaded is not disk:
        return Restart(server.name, disk)
    if _lacks(server.proven, stage):
        return ProveServer(server.name)
    return None


def _lacks(have: Stage | None, stage: Stage) -> bool:
    return have is None or have < stage
