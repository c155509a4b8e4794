"""The storage version migrator of a simulated cluster: idles, writes one object after another, and tells little."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from keyctl.kube.interface import Migration, MigrationState
from tests.support.sim_clock import SimClock
from tests.support.sim_objects import SimObject
from tests.support.sim_server import SimServer

T = TypeVar("T")

_TURN = 1.0
_WRITES_A_TURN = 3


class Plane(Protocol):
    """What it needs of its cluster."""

    clock: SimClock
    servers: list[SimServer]
    webhook_refuses: set[bytes]

    def raw(self, resource: str | None, key: bytes) -> tuple[bytes, int] | None: ...
    def everything(self) -> list[SimObject]: ...
    def effect(self, label: str, act: Callable[[], T]) -> T: ...


@dataclass
class _Task:
    migration: Migration
    created: float
    checkpoint: int | None = None


class SimMigrator:
    """The `Migrations` of a simulated cluster.

    `running` False: no kube-controller-manager is there, and `silent_for` is what
    its Lease tells. `enabled` False: it runs without this controller. `cache_lag`:
    seconds until it begins.
    """

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._tasks: dict[str, _Task] = {}
        self.running = self.enabled = True
        self.silent_for: float | None = 1.0
        self.cache_lag = 65.0
        self.names: list[str] = []

    def find(self, name: str) -> Migration | None:
        task = self._tasks.get(name)
        return None if task is None else task.migration

    def create(self, name: str, resource: str) -> Migration:
        def act() -> None:
            self.names.append(name)
            made = Migration(name, str(uuid.uuid4()), resource, MigrationState.PENDING)
            self._tasks[name] = _Task(made, self._plane.clock.monotonic())
            self._plane.clock.at(_TURN, lambda: self._turn(made.uid))

        if name not in self._tasks:
            self._plane.effect("create-migration", act)
        return self._tasks[name].migration

    def delete(self, migration: Migration) -> None:
        def act() -> None:
            task = self._tasks.get(migration.name)
            if task is not None and task.migration.uid == migration.uid:
                del self._tasks[migration.name]

        self._plane.effect("delete-migration", act)

    def manager_silent_for(self) -> float | None:
        return self.silent_for

    def here(self) -> list[str]:
        """The names of those that were not deleted."""
        return sorted(self._tasks)

    def lose_all(self) -> None:
        """Somebody deletes them."""
        self._tasks.clear()

    def _turn(self, uid: str) -> None:
        task = next((one for one in self._tasks.values() if one.migration.uid == uid), None)
        if task is None:
            return
        self._plane.clock.at(_TURN, lambda: self._turn(uid))
        if not (self.running and self.enabled) or task.migration.state in (
            MigrationState.SUCCEEDED,
            MigrationState.FAILED,
        ):
            return
        if task.checkpoint is None:
            task.checkpoint = max(self._revision(found) for found in self._objects(task))
            self._say(task, MigrationState.RUNNING, "The migration is running")
        if self._plane.clock.monotonic() - task.created >= self.cache_lag:
            self._migrate(task, task.checkpoint)

    def _migrate(self, task: _Task, checkpoint: int) -> None:
        server = next((one for one in self._plane.servers if one.ready), None)
        if server is None:
            return
        writes = 0
        for found in self._objects(task):
            if self._revision(found) > checkpoint:
                continue
            if not server.can_read(found):
                # A server error, which is tried again for ever.
                return
            if found.etcd_key in self._plane.webhook_refuses:
                self._say(task, MigrationState.FAILED, "admission webhook denied it")
                return
            if writes == _WRITES_A_TURN:
                return
            writes += server.write_if_stale(found)
        self._say(task, MigrationState.SUCCEEDED, "Migration completed")

    def _objects(self, task: _Task) -> list[SimObject]:
        return [found for found in self._plane.everything() if found.resource == task.migration.resource]

    def _revision(self, found: SimObject) -> int:
        stored = self._plane.raw(found.resource, found.etcd_key)
        assert stored is not None
        return stored[1]

    def _say(self, task: _Task, state: MigrationState, message: str) -> None:
        task.migration = replace(task.migration, state=state, message=message)
