"""A versioned etcd in memory that keeps the contract of `Etcd`, and snapshots that can be read back."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeVar

from keyctl.errors import RefusedError, RevisionLostError, UnreachableError, WrongUsageError
from keyctl.etcd.interface import EndpointStatus, SavedSnapshot
from keyctl.stored.source import SourceInfo, Value, ValueSource

T = TypeVar("T")

_BATCH = 5


class Effect(Protocol):
    """Runs what changes something, under the label that a test sees."""

    def __call__(self, label: str, act: Callable[[], T]) -> T: ...


class SimEtcd:
    """One etcd cluster. `between_pages` is called while it is scanned: others go on meanwhile.

    `alive` runs before every call of keyctl's and may raise; `effect` runs what changes something.
    `free` bytes of its file are free pages; `alarm` is what it says of one.
    With `forbids_compaction` our certificate may not compact.
    """

    def __init__(
        self,
        name: str,
        *,
        between_pages: Callable[[], None],
        alive: Callable[[], None],
        effect: Effect,
    ) -> None:
        self.name = name
        self.down = False
        self.quota = 0
        self.free = 0
        self.alarm = ""
        self.forbids_compaction = False
        self.revision = 100
        self.compacted = 0
        self._log: list[tuple[int, bytes, bytes | None]] = []
        self._now: dict[bytes, tuple[bytes, int]] = {}
        self.between_pages, self._alive, self._effect = between_pages, alive, effect

    def put(self, key: bytes, value: bytes) -> int:
        """Store `value`; returns its mod_revision."""
        self.revision += 1
        self._log.append((self.revision, key, value))
        self._now[key] = value, self.revision
        return self.revision

    def remove(self, key: bytes) -> None:
        self.revision += 1
        self._log.append((self.revision, key, None))
        del self._now[key]

    def raw(self, key: bytes) -> tuple[bytes, int] | None:
        """What is stored now, for tests and simulated servers."""
        return self._now.get(key)

    def all(self) -> dict[bytes, bytes]:
        """Everything stored now."""
        return {key: value for key, (value, _) in self._now.items()}

    def at(self, revision: int) -> dict[bytes, bytes]:
        """Everything that was stored at `revision`, compacted or not."""
        found = {key: value for mod, key, value in self._log if mod <= revision}
        return {key: value for key, value in found.items() if value is not None}

    def log(self) -> list[tuple[int, bytes, bytes | None]]:
        """Every change ever made: its revision, the key, and the value, None where it was deleted."""
        return self._log

    def forget_before(self, revision: int) -> None:
        """Compact as an API server does: not keyctl's doing."""
        self.compacted = max(self.compacted, revision)

    def source(self, *, revision: int = 0) -> ValueSource:
        self._ask()
        pinned = revision or self.revision
        values = {key: (value, mod) for mod, key, value in self._log if mod <= pinned}
        present = {key: (value, mod) for key, (value, mod) in values.items() if value is not None}

        def between() -> None:
            self._ask()
            self.between_pages()
            self._require_readable(pinned, wanted=revision > 0)

        return PinnedSource(present, SourceInfo("etcd", self.name, pinned, "c1", 0), between)

    def get(self, key: bytes) -> tuple[bytes, int] | None:
        self._ask()
        return self._now.get(key)

    def count(self, prefix: bytes) -> int:
        self._ask()
        return sum(key.startswith(prefix) for key in self._now)

    def status(self) -> tuple[EndpointStatus, ...]:
        self._ask()
        size = sum(len(value) for value, _ in self._now.values())
        errors = (self.alarm,) if self.alarm else ()
        return (
            EndpointStatus(
                self.name, "3.7.3", "c1", "m1", self.revision, size, self.quota, size - self.free, errors=errors
            ),
        )

    def save_snapshot(self, path: Path, *, progress: Callable[[int, int], None] | None = None) -> SavedSnapshot:
        self._ask()

        def save() -> SavedSnapshot:
            if path.exists():
                raise RefusedError(f"{path} exists")
            values = [[_text(key), _text(value), mod] for key, (value, mod) in sorted(self._now.items())]
            content = json.dumps({"revision": self.revision, "values": values}).encode()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            return SavedSnapshot(path, len(content), hashlib.sha256(content).hexdigest())

        saved = self._effect("save-snapshot", save)
        if progress is not None:
            progress(saved.size, saved.size)
        return saved

    def compact(self, revision: int) -> None:
        self._require_reached(revision)
        if self.forbids_compaction:
            raise RefusedError(f"etcd {self.name} does not let us deal with its history", hint="use the role root")
        self._effect("compact", lambda: self.forget_before(revision))

    def is_compacted(self, revision: int) -> bool:
        self._require_reached(revision)
        return revision < self.compacted

    def close(self) -> None:
        """Nothing is open."""

    def _ask(self) -> None:
        self._alive()
        if self.down:
            raise UnreachableError(f"etcd {self.name} does not answer", cause="TCP: connection refused")

    def _require_reached(self, revision: int) -> None:
        self._ask()
        if revision < 1:
            raise ValueError(f"{revision} is no revision of etcd")
        if revision > self.revision:
            raise UnreachableError(f"etcd {self.name} has not reached revision {revision}", hint="see its endpoints")

    def _require_readable(self, revision: int, *, wanted: bool) -> None:
        if revision > self.revision:
            raise WrongUsageError(f"etcd {self.name} has not reached that revision yet")
        if revision < self.compacted and wanted:
            raise WrongUsageError(f"etcd {self.name} no longer has revision {revision}")
        if revision < self.compacted:
            raise RevisionLostError(f"etcd {self.name} no longer has the revision that was being read")


class PinnedSource:
    """A `ValueSource` over values at one revision."""

    def __init__(
        self, values: dict[bytes, tuple[bytes, int]], about: SourceInfo, between: Callable[[], None] = lambda: None
    ) -> None:
        self._values, self._about, self._between = values, about, between
        self._info: SourceInfo | None = None

    def batches(self, prefix: bytes) -> Iterator[list[Value]]:
        keys = sorted(key for key in self._values if key.startswith(prefix))
        for start in range(0, max(len(keys), 1), _BATCH):
            self._between()
            if page := [(key, *self._values[key]) for key in keys[start : start + _BATCH]]:
                yield page
        self._info = replace(self._about, count=len(keys))

    def info(self) -> SourceInfo:
        if self._info is None:
            raise RuntimeError("nothing was read to its end yet")
        return self._info


def open_snapshot(path: Path) -> ValueSource:
    """What `SimEtcd.save_snapshot` wrote."""
    document = json.loads(path.read_text())
    values = {base64.b64decode(key): (base64.b64decode(value), mod) for key, value, mod in document["values"]}
    return PinnedSource(values, SourceInfo("snapshot", str(path), document["revision"], "", 0, "sha256-ok"))


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
