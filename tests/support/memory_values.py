"""A KV v2 engine in memory that keeps the contract of `KeyValues`."""

from __future__ import annotations

import json
from collections.abc import Mapping

from keyctl.keys.vault.client import CasMismatchError, Deleted, Destroyed, Found, Missing, Reading


class MemoryValues:
    """Entries by path, each a list of versions, None for a deleted one. `failing` is raised by every call."""

    def __init__(self) -> None:
        self.entries: dict[str, list[Mapping[str, object] | None]] = {}
        self.short: set[str] = set()
        self.gone: set[str] = set()
        self.metadata: dict[str, Mapping[str, str]] = {}
        self.failing: Exception | None = None
        self.writes: list[str] = []

    @property
    def location(self) -> str:
        return "https://memory kv"

    @property
    def mount(self) -> str:
        return "kv"

    def read(self, path: str) -> Reading:
        self._check()
        versions = self.entries.get(path)
        if not versions:
            return Missing()
        fields = versions[-1]
        if path in self.gone:
            return Destroyed(len(versions))
        return Deleted(len(versions), "2026-11-21T10:00:05Z") if fields is None else Found(len(versions), fields)

    def names(self, folder: str) -> tuple[str, ...]:
        self._check()
        below = f"{folder}/"
        found = (path.removeprefix(below) for path in self.entries if path.startswith(below))
        return tuple(sorted(name for name in found if "/" not in name))

    def write(self, path: str, fields: Mapping[str, object], *, cas: int | None) -> int:
        self._check()
        versions = self.entries.setdefault(path, [])
        if cas is not None and cas != len(versions):
            raise CasMismatchError(f"{path} was written by somebody else meanwhile", hint="run this again")
        # As it goes over the wire, and comes back.
        versions.append(json.loads(json.dumps(fields)))
        self.writes.append(path)
        if path in self.short:
            versions[:-1] = [None] * (len(versions) - 1)
        return len(versions)

    def annotate(self, path: str, metadata: Mapping[str, str]) -> None:
        self._check()
        self.metadata[path] = metadata

    def keep_newest(self, path: str) -> None:
        self._check()
        self.short.add(path)

    def destroy(self, path: str) -> None:
        self._check()
        if path in self.entries:
            self.gone.add(path)

    def may_destroy(self, path: str) -> bool:
        return True

    def require_lasting(self) -> None:
        self._check()

    def held(self, path: str) -> list[Mapping[str, object]]:
        """Every version of an entry whose bytes are still there."""
        return [fields for fields in self.entries.get(path, []) if fields is not None]

    def _check(self) -> None:
        if self.failing is not None:
            raise self.failing
