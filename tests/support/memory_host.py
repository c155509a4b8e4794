"""A host in memory that keeps the contract of `Host`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from keyctl.errors import RefusedError, StoppedError
from keyctl.hosts.interface import HostFile


class MemoryHost:
    """Files by path. `on_restart` stands for the restart command; raising `StoppedError` is its way to fail."""

    def __init__(self, name: str, *, on_restart: Callable[[], None] | None = None) -> None:
        self._name = name
        self._on_restart = on_restart
        self.files: dict[str, HostFile] = {}
        self.links: set[str] = set()
        self.leftovers: dict[str, tuple[str, ...]] = {}
        self.free = 1 << 30

    @property
    def name(self) -> str:
        return self._name

    def place(self, path: str, content: bytes, *, mode: int = 0o600) -> HostFile:
        """Put a file there as anybody else would."""
        self.files[path] = HostFile(path, content, "sha256:" + hashlib.sha256(content).hexdigest(), mode)
        return self.files[path]

    def read(self, path: str) -> HostFile | None:
        if path in self.links:
            raise RefusedError(f"host {self._name}: {path} is a symbolic link", rule="R13")
        return self.files.get(path)

    def write(self, path: str, content: bytes, *, expected: str | None, in_place: bool = False) -> HostFile:
        found = self.read(path)
        if (found.sha256 if found else None) != expected:
            raise RefusedError(f"host {self._name}: somebody else changed {path}", rule="R8")
        return self.place(path, content, mode=found.mode if found else 0o600)

    def remove(self, path: str, *, expected: str) -> None:
        found = self.read(path)
        if found is None or found.sha256 != expected:
            raise RefusedError(f"host {self._name}: somebody else changed {path}", rule="R8")
        del self.files[path]

    def sweep(self, path: str) -> tuple[str, ...]:
        return self.leftovers.pop(path, ())

    def free_bytes(self, path: str) -> int:
        return self.free

    def restart(self) -> None:
        if self._on_restart is None:
            raise StoppedError(f"host {self._name}: no restart command is known")
        self._on_restart()
