"""Which backups are kept: so many of the newest, and the newest of so many hours, days, weeks, months, years. Pure.

Decides by names and times alone. What may be judged at all, and what becomes of the rest, is for others to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from keyctl.errors import WrongUsageError

_PART = re.compile(r"(?P<every>[a-z]+)=(?P<count>[0-9]{1,5})")
_EXAMPLE = "for example: --keep last=7,daily=14,weekly=8,monthly=12"
FRESH = "just saved"


class Every(StrEnum):
    """Of what one backup each is kept. A day, and all the others, begins in UTC; a week on Monday."""

    LAST = "last"
    HOURLY = "hourly"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    YEARLY = "yearly"


@dataclass(frozen=True, slots=True)
class Policy:
    """How many are kept of each kind; one at least. `str` gives what `parse` takes."""

    counts: tuple[tuple[Every, int], ...]

    def __str__(self) -> str:
        return ",".join(f"{every}={count}" for every, count in self.counts)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A backup that was found whole, by its `name`; `at` is when it was taken, with its time zone."""

    name: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Judged:
    """What becomes of a candidate: it stays for each of `reasons`, and goes where there is none."""

    candidate: Candidate
    reasons: tuple[str, ...]

    @property
    def stays(self) -> bool:
        """Whether it is kept."""
        return bool(self.reasons)


def parse(text: str) -> Policy:
    """The policy in `text`: "last=7,daily=14". Raises `WrongUsageError`."""
    counts: dict[Every, int] = {}
    for part in text.split(","):
        match = _PART.fullmatch(part.strip())
        if match is None or match["every"] not in tuple(Every):
            raise WrongUsageError(
                f"--keep does not know {part.strip()!r}", cause=f"known: {', '.join(Every)}", hint=_EXAMPLE
            )
        every = Every(match["every"])
        if every in counts:
            raise WrongUsageError(f"--keep says {every} twice", hint=_EXAMPLE)
        counts[every] = int(match["count"])
    if not any(counts.values()):
        raise WrongUsageError("--keep would keep nothing", hint=_EXAMPLE)
    return Policy(tuple((every, counts[every]) for every in Every if counts.get(every)))


def judge(policy: Policy, candidates: Sequence[Candidate], fresh: str) -> tuple[Judged, ...]:
    """What becomes of each of `candidates`, the newest first. `fresh` is the name of the one that was just saved.

    That one stays whatever its clock says; the newest does by any policy, for it is the newest of its period.

    Raises `ValueError` where `fresh` is not among them or two have one name: then nothing may be deleted.
    """
    names = [one.name for one in candidates]
    if fresh not in names or len(set(names)) != len(names):
        raise ValueError("a policy judges what has a name of its own, and what was just saved is among it")
    ordered = sorted(candidates, key=lambda one: (one.at.astimezone(UTC), one.name), reverse=True)
    reasons: dict[str, list[str]] = {one.name: [] for one in ordered}
    reasons[fresh].append(FRESH)
    for every, count in policy.counts:
        for one in _newest_of_each(every, ordered, count):
            reasons[one.name].append(str(every))
    return tuple(Judged(one, tuple(reasons[one.name])) for one in ordered)


def _newest_of_each(every: Every, ordered: Iterable[Candidate], count: int) -> Iterable[Candidate]:
    """The newest candidate of each of the newest `count` hours, days, and so on, that have one."""
    seen: set[tuple[object, ...]] = set()
    for one in ordered:
        period = _period(every, one)
        if period not in seen and len(seen) < count:
            seen.add(period)
            yield one


def _period(every: Every, one: Candidate) -> tuple[object, ...]:
    at = one.at.astimezone(UTC)
    match every:
        case Every.LAST:
            return (one.name,)
        case Every.HOURLY:
            return at.date(), at.hour
        case Every.DAILY:
            return (at.date(),)
        case Every.WEEKLY:
            return at.isocalendar()[:2]
        case Every.MONTHLY:
            return at.year, at.month
        case Every.YEARLY:
            return (at.year,)
