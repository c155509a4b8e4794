"""Disruptions by chance: which one comes next, what it does, and that it is over again. It judges nothing.

At most one member of etcd is away at a time, so that there is a quorum, and at most two of the API servers.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from enum import StrEnum

from tests.museum.site import RunningKeyctl, Site

_MOST_SERVERS = 2
# Seconds: from one disruption to the next on the average, and how long one lasts.
_EVERY = 12.0
_SHORTEST, _LONGEST = 1.0, 15.0
_WORKERS = 1 + _MOST_SERVERS + 1


class Kind(StrEnum):
    """What can happen."""

    SERVER_KILLED = "API server killed"
    SERVER_PAUSED = "API server paused"
    LEADER_KILLED = "etcd leader killed"
    LEADER_PAUSED = "etcd leader paused"
    MEMBER_KILLED = "any etcd member killed"
    MEMBER_PAUSED = "any etcd member paused"
    KEYCTL_KILLED = "keyctl killed"

    @property
    def kills(self) -> bool:
        """Whether the process is gone, and not only stopped."""
        return self in {Kind.SERVER_KILLED, Kind.LEADER_KILLED, Kind.MEMBER_KILLED, Kind.KEYCTL_KILLED}

    @property
    def weight(self) -> int:
        """How often it comes, beside the others; a keyctl that is killed all the time shows its beginning only."""
        return 1 if self is Kind.KEYCTL_KILLED else 2


class Disruptions:
    """`done` counts what was done, by kind."""

    def __init__(self, place: Site, chance: random.Random) -> None:
        self.done: Counter[Kind] = Counter()
        self._place, self._chance = place, chance
        self._lock = threading.Lock()
        self._away: set[str] = set()

    @contextmanager
    def of(self, running: RunningKeyctl) -> Iterator[None]:
        """While the block lasts, disrupt; when it ends, everything is up again."""
        over = threading.Event()
        with ThreadPoolExecutor(_WORKERS) as pool:
            director = pool.submit(self._direct, running, over, pool)
            try:
                yield
            finally:
                over.set()
                for act in director.result():
                    act.result()

    def _direct(self, running: RunningKeyctl, over: threading.Event, pool: ThreadPoolExecutor) -> list[Future[None]]:
        acts: list[Future[None]] = []
        while not over.wait(self._chance.expovariate(1 / _EVERY)):
            (kind,) = self._chance.choices(list(Kind), [kind.weight for kind in Kind])
            if kind is Kind.KEYCTL_KILLED:
                if not running.ended():
                    running.kill()
                    self.done[kind] += 1
                continue
            name = self._pick(kind)
            if name is not None:
                seconds = self._chance.uniform(_SHORTEST, _LONGEST)
                acts.append(pool.submit(self._disrupt, kind, name, seconds, over))
        return acts

    def _pick(self, kind: Kind) -> str | None:
        """One that this may happen to now, and which is from now on away; None where none may be."""
        place = self._place
        with self._lock:
            if kind in {Kind.SERVER_KILLED, Kind.SERVER_PAUSED}:
                there = [name for name in place.apiservers if name not in self._away]
                if len(place.apiservers) - len(there) >= _MOST_SERVERS:
                    return None
            elif self._away & set(place.members):
                return None
            elif kind in {Kind.LEADER_KILLED, Kind.LEADER_PAUSED}:
                there = [place.leader()]
            else:
                there = list(place.members)
            name = self._chance.choice(there)
            self._away.add(name)
            return name

    def _disrupt(self, kind: Kind, name: str, seconds: float, over: threading.Event) -> None:
        place = self._place
        try:
            if place.kill(name) if kind.kills else place.pause(name):
                with self._lock:
                    self.done[kind] += 1
                over.wait(seconds)
        finally:
            # NOTE: one that was paused may have been killed and started meanwhile: keyctl restarts servers.
            if not kind.kills:
                place.unpause(name)
            place.bring_up(name)
            with self._lock:
                self._away.discard(name)
