"""Short ways to say what is seen of a cluster, for the tables of the machine."""

from __future__ import annotations

from dataclasses import replace

from keyctl.rotation.observation import Observation, Proofs, ServerView
from keyctl.rotation.plan import Stage, Way

BASE, ADDED, PROMOTED, RETIRED = Stage
FORWARD, BACK = Way

READABLE = Proofs(readable=2)
SWITCHED = Proofs(readable=2, switched=100)
REWRITTEN = replace(SWITCHED, left=0)
SETTLED = replace(REWRITTEN, settled=True)
VERIFIED = replace(SETTLED, verified=120)
HISTORY = replace(VERIFIED, history=True)
SETTLED_AGAIN = Proofs(settled_again=True)
GONE = Proofs(settled_again=True, gone=140)


def at(stage: Stage, name: str = "a", *, reloads: bool = False, proven: bool = True, floor: Stage = BASE) -> ServerView:
    """A server that is ready with the file of `stage` on its disk and loaded."""
    return ServerView(name, reloads, True, stage, stage, floor, proven=stage if proven else None, seen_ready=True)


def between(disk: Stage, loaded: Stage, name: str = "a", *, reloads: bool = False) -> ServerView:
    """A server that is ready, and has not loaded what is on its disk."""
    return replace(at(loaded, name, reloads=reloads), disk=disk)


def down(stage: Stage, name: str = "a", *, reloads: bool = False, seen_ready: bool = False) -> ServerView:
    """A server that does not answer; `stage` is on its disk."""
    return ServerView(name, reloads, False, stage, None, seen_ready=seen_ready, problem="TCP: connection refused")


def unflagged(server: ServerView, *, missing: bool = True) -> ServerView:
    """`server`, which had no encryption flag; `missing`: it has none now."""
    return replace(server, had_flag=False, flag_missing=missing)


def seen(
    *servers: ServerView,
    proofs: Proofs | None = None,
    leaves: bool = True,
    resecured: bool = False,
    late: int = 0,
) -> Observation:
    """An observation on the way forward."""
    return Observation(servers, proofs=proofs or Proofs(), leaves=leaves, resecured=resecured, late=late)


def back(*servers: ServerView, proofs: Proofs | None = None, leaves: bool = True, late: int = 0) -> Observation:
    """An observation on the way back, where nothing is added to the archive."""
    return replace(seen(*servers, proofs=proofs, leaves=leaves, resecured=True, late=late), way=BACK)
