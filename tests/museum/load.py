"""Changes and reads through every API server while something happens to them, and what must be true afterwards.

Every object is in the hands of one writer at a time, so what may be read is known: what was acknowledged last before
the read began, or anything sent since. An object with a write that nobody answered is not written again, for that write
may still land: from then on it may be as it was or as that write would have it, and nothing else.
"""

from __future__ import annotations

import http.client
import itertools
import random
import ssl
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Protocol, cast

from keyctl.lab.kubelet import admin_credentials
from keyctl.lab.topology import Server
from tests.museum.talk import NotSentError, Talk, contents_of, is_fault
from tests.support.seeded import Seeded

NAMESPACE = "load"
_WRITERS_PER_SERVER = 4
_KEPT = 60
_READ_PAUSE = 0.1
_AFTER_FAILURE = 0.2
_SECRETS, _CONFIGMAPS = "secrets", "configmaps"
_runs = itertools.count(1)


class Loaded(Protocol):
    """What a load needs of a site."""

    @property
    def seeded(self) -> Seeded: ...


@dataclass(slots=True, eq=False)
class Tracked:
    """One object: `contents` are all that was ever sent for it, in order, None for its absence.

    `settled` is the index of the one acknowledged last.
    """

    resource: str
    name: str
    contents: list[str | None] = field(default_factory=lambda: [None])
    settled: int = 0

    def possible(self, since: int) -> set[str | None]:
        """What it may be now, or was, from when `since` was the settled one."""
        return set(self.contents[since:])


class Load:
    """While the block lasts: `per_second` changes in all through every server, and a reader at each server.

    `faults` are answers that no running server may give: an error of storage that is not its etcd being away, or a
    content that the object cannot have. `changes` counts what was acknowledged, `reads` right answers, `uncertain`
    changes without an answer, `by_server` changes acknowledged by server.
    """

    def __init__(self, site: Loaded, per_second: float = 50) -> None:
        self.faults: list[str] = []
        self.changes = self.reads = self.uncertain = 0
        self.by_server: Counter[str] = Counter()
        self._site, self._interval = site, 1 / per_second
        self._run = next(_runs)
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._all: list[Tracked] = []
        self._idle: deque[Tracked] = deque()
        self._next = self._began = self._ended = 0.0
        self._jobs: list[Future[None]] = []
        self._pool = ThreadPoolExecutor((_WRITERS_PER_SERVER + 1) * len(self._servers))

    @property
    def rate(self) -> float:
        """Acknowledged changes a second, so far or at the end."""
        return self.changes / max((self._ended or time.monotonic()) - self._began, self._interval)

    def __enter__(self) -> Load:
        self._make_namespace()
        self._began = self._next = time.monotonic()
        for server in self._servers:
            self._jobs += [self._pool.submit(self._write_all, server) for _ in range(_WRITERS_PER_SERVER)]
            self._jobs.append(self._pool.submit(self._read_all, server))
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._pool.shutdown()
        self._ended = time.monotonic()
        # NOTE: a reader that broke off would have seen no fault.
        for job in self._jobs:
            job.result()

    def lost(self) -> list[str]:
        """What a server does not give back as it must be, or gives back and must not; every server has to be up."""
        found = []
        for server in self._servers:
            for resource in (_SECRETS, _CONFIGMAPS):
                with Talk(server.url, self._context()) as talk:
                    stored = {name: text for name, text in talk.list(resource, NAMESPACE) if self._mine(name)}
                found += [f"{server.name}: {problem}" for problem in self._compare(resource, stored)]
        return found

    def _compare(self, resource: str, stored: Mapping[str, str]) -> Iterator[str]:
        tracked = {one.name: one for one in self._all if one.resource == resource}
        for name, one in tracked.items():
            possible = one.possible(one.settled)
            if stored.get(name) not in possible:
                yield f"{resource}/{name} is {stored.get(name)!r}, not one of {possible}"
        for name in stored.keys() - tracked.keys():
            yield f"{resource}/{name} was never made"

    @property
    def _servers(self) -> tuple[Server, ...]:
        return self._site.seeded.lab.topology.servers

    def _context(self) -> ssl.SSLContext:
        return admin_credentials(self._site.seeded.lab.layout).context()

    def _mine(self, name: str) -> bool:
        return name.startswith(f"run-{self._run}-")

    def _make_namespace(self) -> None:
        with Talk(self._servers[0].url, self._context()) as talk:
            status, content = talk.ask("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        assert status in {HTTPStatus.CREATED, HTTPStatus.CONFLICT}, content

    def _turn(self) -> bool:
        """Wait for the next change that is due; False when it is time to stop."""
        with self._lock:
            now = time.monotonic()
            # NOTE: what could not be done while servers were away is not made up for.
            due = max(self._next, now - 1)
            self._next = due + self._interval
        return not self._stop.wait(max(0.0, due - now))

    def _write_all(self, server: Server) -> None:
        chance = random.Random(f"{self._run} {server.name} {threading.get_ident()}")  # noqa: S311 — which object, not a key
        with Talk(server.url, self._context()) as talk:
            while self._turn():
                one = self._take(chance)
                if not self._change(server, talk, one, chance):
                    self._stop.wait(_AFTER_FAILURE)

    def _take(self, chance: random.Random) -> Tracked:
        """An object that no other writer has: one that is there, or a new one."""
        with self._lock:
            if self._idle and chance.random() * _KEPT < len(self._idle):
                return self._idle.popleft()
            resource = _CONFIGMAPS if chance.random() < 0.1 else _SECRETS
            return Tracked(resource, f"run-{self._run}-{next(self._numbers):06d}")

    def _change(self, server: Server, talk: Talk, one: Tracked, chance: random.Random) -> bool:
        """Send one change; False where there was no good answer."""
        new = one.contents == [None]
        content = None if not new and chance.random() < 0.3 else f"{one.name}, change {len(one.contents)}"
        try:
            talk.connect()
        except NotSentError:
            if not new:
                self._give_back(one)
            return False
        with self._lock:
            if new:
                self._all.append(one)
            one.contents.append(content)
        try:
            status, answer = talk.put(one.resource, NAMESPACE, one.name, content, new=new)
        except (OSError, http.client.HTTPException):
            status, answer = 0, b""
        return self._note(server, one, status, answer)

    def _note(self, server: Server, one: Tracked, status: int, answer: bytes) -> bool:
        done = status in {HTTPStatus.OK, HTTPStatus.CREATED}
        with self._lock:
            if done:
                one.settled = len(one.contents) - 1
                self.changes += 1
                self.by_server[server.name] += 1
            else:
                self.uncertain += 1
            missing = status == HTTPStatus.NOT_FOUND and one.contents[-1] is not None
            if missing or is_fault(status, answer):
                self.faults.append(f"{server.name} answered {status} to a change of {one.name}: {answer[:300]!r}")
        if done and one.contents[-1] is not None:
            self._give_back(one)
        return done

    def _give_back(self, one: Tracked) -> None:
        with self._lock:
            self._idle.append(one)

    def _read_all(self, server: Server) -> None:
        chance = random.Random(f"{self._run} reader of {server.name}")  # noqa: S311 — which object, not a key
        with Talk(server.url, self._context()) as talk:
            while not self._stop.wait(_READ_PAUSE):
                try:
                    talk.connect()
                    chance.choice((self._read_fixed, self._read_changing, self._read_list))(server, talk, chance)
                except (OSError, http.client.HTTPException):
                    self._stop.wait(_AFTER_FAILURE)

    def _read_fixed(self, server: Server, talk: Talk, chance: random.Random) -> None:
        secret = chance.choice(self._site.seeded.secrets)
        status, answer = talk.ask("GET", f"/api/v1/namespaces/{secret.namespace}/secrets/{secret.name}")
        self._judge(server, f"{secret.namespace}/{secret.name}", status, answer, {secret.password})

    def _read_changing(self, server: Server, talk: Talk, chance: random.Random) -> None:
        with self._lock:
            recent = self._all[-4 * _KEPT :]
            if not recent:
                return
            one = chance.choice(recent)
            since = one.settled
        status, answer = talk.ask("GET", f"/api/v1/namespaces/{NAMESPACE}/{one.resource}/{one.name}")
        with self._lock:
            possible = one.possible(since)
        self._judge(server, one.name, status, answer, possible)

    def _read_list(self, server: Server, talk: Talk, chance: random.Random) -> None:
        """A list of a whole namespace, which a single value that cannot be read turns into an error."""
        namespace = chance.choice(self._site.seeded.secrets).namespace
        status, answer = talk.ask("GET", f"/api/v1/namespaces/{namespace}/secrets")
        if status != HTTPStatus.OK:
            self._judge(server, f"the list of {namespace}", status, answer, set())
            return
        wanted = {one.name: one.password for one in self._site.seeded.secrets if one.namespace == namespace}
        found = dict(contents_of(answer))
        different = sorted(name for name, password in wanted.items() if found.get(name) != password)
        with self._lock:
            self.reads += not different
            if different:
                self.faults.append(f"{server.name} lists {namespace} without, or with others, of {different}")

    def _judge(
        self, server: Server, what: str, status: int, answer: bytes, possible: set[str | None] | set[str]
    ) -> None:
        known = cast("set[str | None]", possible)
        with self._lock:
            if status == HTTPStatus.OK:
                ((_, content),) = contents_of(answer)
                right, seen = content in known, repr(content)
            elif status == HTTPStatus.NOT_FOUND:
                right, seen = None in known, "nothing"
            else:
                if is_fault(status, answer):
                    self.faults.append(f"{server.name} answered {status} for {what}: {answer[:300]!r}")
                return
            self.reads += right
            if not right:
                self.faults.append(f"{server.name} gave {seen} for {what}, not one of {possible}")
