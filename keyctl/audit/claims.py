"""One question that several kinds of evidence answer: which answer counts, and which others contradict it. Pure.

What stands in a file says what should be, a process what it does, and a stored value what was done. Of answers that
differ, the one with the higher evidence counts; the others are not forgotten, for a contradiction is itself a finding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from keyctl.findings import Evidence, Location


@dataclass(frozen=True, slots=True)
class Claim:
    """That `question` is answered by `yes`, as `said` in words by what is at `location`."""

    question: str
    yes: bool
    said: str
    location: Location
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Settled:
    """A question with the claim that counts. `agreeing` and `against` are those of lower evidence."""

    counts: Claim
    agreeing: tuple[Claim, ...]
    against: tuple[Claim, ...]


def settle(claims: Iterable[Claim]) -> Iterator[Settled]:
    """Each question once, in the order in which they come first. Of equal evidence a no counts before a yes."""
    asked: dict[str, list[Claim]] = {}
    for one in claims:
        asked.setdefault(one.question, []).append(one)
    for answers in asked.values():
        counts = max(answers, key=lambda one: (one.evidence, not one.yes))
        lower = [one for one in answers if one.evidence < counts.evidence]
        agreeing = tuple(one for one in lower if one.yes is counts.yes)
        against = tuple(one for one in lower if one.yes is not counts.yes)
        yield Settled(counts, agreeing, against)
