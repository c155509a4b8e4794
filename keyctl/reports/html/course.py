"""A rotation as lanes: what each server had loaded when, which file was waiting for it, and what was proven. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from keyctl.reports.html.fields import Fields, number, text
from keyctl.reports.html.timescale import moment, places

STAGES = ("BASE", "ADDED", "PROMOTED", "RETIRED")
_UNKNOWN = ""
_PROOFS = {
    "readable": "every server reads what the new key writes",
    "switched": "every server writes with the new key",
    "verified": "no value is left under the key that goes",
    "history": "older revisions in etcd's history were dealt with",
    "resecured": "a snapshot was made, and the stored copies of the keys opened values",
    "retired": "the key that went is in no file, and nothing is under it",
    "gone": "the new key is in no file any more, and nothing is under it",
    "late": "a value landed late: the key that went was put back",
    "second-pass": "the API servers were asked about each object once more",
}
_EVENTS = {"abort": "it was told to go back", "resume": "it went on after a stop", "end": "it ended"}


@dataclass(frozen=True, slots=True)
class Band:
    """From `start` to `end`, in percent of the line, at `stage`, "" where that is not known."""

    start: float
    end: float
    stage: str


@dataclass(frozen=True, slots=True)
class Lane:
    """One server: what it had loaded, and when a file of another stage was `waiting` to be loaded."""

    server: str
    loaded: tuple[Band, ...]
    waiting: tuple[Band, ...]


@dataclass(frozen=True, slots=True)
class Milestone:
    """Something that was proven, or another turn, at `place` percent of the line."""

    place: float
    at: str
    what: str
    said: str
    revision: int


def lanes(moments: Sequence[Fields]) -> tuple[Lane, ...]:
    """A lane for each server that a file was written for, or of which one was proven; in the order of the names."""
    at = _places(moments)
    names = sorted({name for one in moments if (name := text(one, "server"))})
    return tuple(_lane(name, [(place, one) for place, one in zip(at, moments, strict=True)]) for name in names)


def milestones(moments: Sequence[Fields]) -> tuple[Milestone, ...]:
    """What was proven of all servers together, and each turn."""
    at = _places(moments)
    return tuple(
        Milestone(place, text(one, "at"), what, said, number(one, "revision"))
        for place, one in zip(at, moments, strict=True)
        for what, said in _said(one)
    )


def _places(moments: Sequence[Fields]) -> tuple[float, ...]:
    return places([moment(text(one, "at")) for one in moments])


def _said(one: Fields) -> Iterator[tuple[str, str]]:
    kind, of = text(one, "kind"), text(one, "of")
    if kind == "proof" and of != "server":
        more = {"readable": f", {number(one, 'times')}", "history": f": {text(one, 'mode')}"}.get(of, "")
        yield of, _PROOFS.get(of, "proven") + more
    elif kind in _EVENTS:
        state = f": {text(one, 'state')}" if text(one, "state") else ""
        yield kind, _EVENTS[kind] + state


def _lane(server: str, placed: Sequence[tuple[float, Fields]]) -> Lane:
    """What `server` had loaded is what was last proven of it; before that, what it began with."""
    joined = [place for place, one in placed if text(one, "kind") == "joined" and text(one, "server") == server]
    start = joined[0] if joined else 0.0
    stage = _UNKNOWN if joined else STAGES[0]
    since: tuple[float, str] | None = None
    loaded, waiting = [], []
    for place, one in placed:
        if text(one, "server") != server:
            continue
        if text(one, "step") == "write-file" and since is None:
            since = place, text(one, "stage")
        elif text(one, "kind") == "proof":
            proven = text(one, "stage")
            if proven != stage:
                loaded.append(Band(start, place, stage))
                start, stage = place, proven
            if since is not None:
                waiting.append(Band(since[0], place, since[1]))
                since = None
    loaded.append(Band(start, 100.0, stage))
    if since is not None:
        waiting.append(Band(since[0], 100.0, since[1]))
    return Lane(server, tuple(band for band in loaded if band.end > band.start), tuple(waiting))
