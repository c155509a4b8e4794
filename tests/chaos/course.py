"""One rotation after the other under changes and disruptions, each followed by the full check, and what was counted."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field

from tests.chaos.disruptions import Disruptions, Kind
from tests.museum.load import Load
from tests.museum.site import Site
from tests.support.raw_etcd import heads_of

PROVIDERS = ("aescbc", "secretbox", "aesgcm")
# After so many commands of one rotation nothing is disrupted any more; after so many in all it has led nowhere.
_WILD_COMMANDS = 8
_MOST_COMMANDS = 14
# Nothing was begun, or nothing was touched by this command; the same again (docs/exit-codes.md).
_UNREACHABLE = 4


@dataclass(frozen=True, slots=True)
class Outcome:
    """One rotation: the exit codes of its commands in order, what was found wrong, and what was counted meanwhile."""

    provider: str
    seconds: float
    codes: tuple[int, ...]
    problems: tuple[str, ...]
    disruptions: int
    changes: int
    uncertain: int
    reads: int
    faults: int
    lost: int


@dataclass
class Course:
    """A whole run on one site. `killed` counts keyctl's own ends by SIGKILL among the codes of all outcomes."""

    place: Site
    chance: random.Random
    outcomes: list[Outcome] = field(default_factory=list)
    resumes: int = 0

    def __post_init__(self) -> None:
        self._disruptions = Disruptions(self.place, self.chance)

    @property
    def done(self) -> Counter[Kind]:
        """The disruptions so far."""
        return self._disruptions.done

    @property
    def codes(self) -> Counter[int]:
        """How often each exit code came."""
        return Counter(code for outcome in self.outcomes for code in outcome.codes)

    def rotate(self) -> Outcome:
        """One rotation to its end, and the check of everything."""
        began, before = time.monotonic(), self.done.total()
        provider = self.chance.choice(PROVIDERS)
        with Load(self.place) as load:
            codes, problems = self._carry_through(provider)
        lost = load.lost()
        outcome = Outcome(
            provider=provider,
            seconds=time.monotonic() - began,
            codes=tuple(codes),
            problems=(*problems, *load.faults, *lost, *self._wrong()),
            disruptions=self.done.total() - before,
            changes=load.changes,
            uncertain=load.uncertain,
            reads=load.reads,
            faults=len(load.faults),
            lost=len(lost),
        )
        self.outcomes.append(outcome)
        return outcome

    def _carry_through(self, provider: str) -> tuple[list[int], list[str]]:
        """The exit codes, and why it did not end well."""
        first: tuple[str, ...] = ("rotate", "--provider", provider, "--yes")
        arguments = first
        codes: list[int] = []
        while len(codes) < _MOST_COMMANDS:
            running = self.place.start(*arguments)
            with self._disruptions.of(running) if len(codes) < _WILD_COMMANDS else nullcontext():
                ended = running.wait()
            codes.append(ended.code)
            if ended.code == 0:
                return codes, []
            if ended.code == -signal.SIGKILL:
                arguments = ("rotate", "--resume") if self.place.journal.unfinished() else first
            elif ended.code != _UNREACHABLE:
                try:
                    arguments = self.place.next_command(ended, *arguments)
                except AssertionError:
                    return codes, [f"no good next step after {arguments}: {ended}"]
            self.resumes += "--resume" in arguments
        return codes, [f"it led nowhere: {ended}"]

    def _wrong(self) -> list[str]:
        """What is wrong with what stood still, and with what is stored."""
        found = [f"{server} gives back another {names}" for server, names in self.place.seeded.changed().items()]
        heads = heads_of(self.place.seeded.lab, "secrets")
        if len(heads) != 1:
            found.append(f"raw etcd has Secrets under {sorted(heads)}")
        verified = self.place.seeded.keyctl("verify-secrets")
        if verified.code != 0:
            found.append(f"verify-secrets ends with {verified}")
        return found
