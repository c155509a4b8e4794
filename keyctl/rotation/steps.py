"""What the machine can decide on: one class a step, each naming all that it takes to do it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from keyctl.rotation.plan import Stage


@dataclass(frozen=True, slots=True)
class Blocked:
    """No edge may be taken: `rule` says why not, `message` what was seen."""

    rule: str
    message: str
    hint: str | tuple[str, ...]


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
class RestoreManifest:
    """Give `server` its manifest as it was, without the flag."""

    server: str


@dataclass(frozen=True, slots=True)
class Restart:
    """Restart `server`; it must come back ready with the file of `stage` loaded."""

    server: str
    stage: Stage


@dataclass(frozen=True, slots=True)
class AwaitLoaded:
    """Wait until `servers` are ready, those that reload with the files on their disks loaded, without touching them."""

    servers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProveServer:
    """See `server`, with what it has loaded, list every encrypted resource."""

    server: str


@dataclass(frozen=True, slots=True)
class ProveReadable:
    """Prove once more, with the census before and after, that every server reads the new key (R2)."""


@dataclass(frozen=True, slots=True)
class Switch:
    """Prove by canaries that every server writes with the key that stays and reads what the others write: r0, t0."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Rewrite what the raw scan finds not under the key that stays; ends with a fresh count."""


@dataclass(frozen=True, slots=True)
class Settle:
    """Wait until writes that were being handled at t0 have landed or failed."""


@dataclass(frozen=True, slots=True)
class ProveVerified:
    """Scan every etcd: nothing under a leaving key, everything opens."""


@dataclass(frozen=True, slots=True)
class ClearHistory:
    """See that revisions before the proof cannot be read any more (R6)."""


@dataclass(frozen=True, slots=True)
class Resecure:
    """Prove that the store's copy of each leaving key opens what was under it, and take the second snapshot."""


@dataclass(frozen=True, slots=True)
class SettleAgain:
    """Wait until writes that were being handled when the last server let go of the key have landed or failed."""


@dataclass(frozen=True, slots=True)
class ProveGone:
    """Scan every etcd with the stored leaving keys in hand: nothing is under them."""


@dataclass(frozen=True, slots=True)
class TurnedUp:
    """The leaving key is back everywhere and what had turned up under it is rewritten: stop and say so."""


@dataclass(frozen=True, slots=True)
class Done:
    """The end of this way is proven."""


Step = (
    Blocked
    | WriteFile
    | EditManifest
    | RestoreManifest
    | Restart
    | AwaitLoaded
    | ProveServer
    | ProveReadable
    | Switch
    | Rewrite
    | Settle
    | ProveVerified
    | ClearHistory
    | Resecure
    | SettleAgain
    | ProveGone
    | TurnedUp
    | Done
)


def stage_after(step: Step) -> Stage | None:
    """The stage that `step` brings its server to; None for a step that brings no server anywhere."""
    match step:
        case WriteFile(_, stage) | Restart(_, stage):
            return stage
        case RestoreManifest(_):
            return Stage.BASE
    return None
