"""Moments in a row as places on a line: in order, and a long wait wider than a short one, but not by as much. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

# What stands between two moments at the same instant.
_LEAST = 0.25


def moment(text: str) -> datetime | None:
    """The time that `text` says, with its zone; None for anything else."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.utcoffset() is not None else None


def places(times: Sequence[datetime | None]) -> tuple[float, ...]:
    """For each of `times` its place in percent of the line; the first is 0 and the last 100.

    A clock that was set back, or a time that is not known, moves nothing backwards.
    """
    at, found = 0.0, []
    for number, time in enumerate(times):
        if number:
            at += _LEAST + math.log2(1 + _gap(times[number - 1], time))
        found.append(at)
    return tuple(round(100 * one / at, 2) if at else 0.0 for one in found)


def instant(text: str) -> str:
    """The time that `text` says, to the second and in UTC; `text` itself where it says none."""
    at = moment(text)
    return text if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def lasted(seconds: float) -> str:
    """A span of time for a reader."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _gap(before: datetime | None, after: datetime | None) -> float:
    return max((after - before).total_seconds(), 0.0) if before is not None and after is not None else 0.0
