"""A host in memory that keeps the contract of `Host`."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

from keyctl.errors import RefusedError, StoppedError
from keyctl.hosts.interface import HostFile
from keyctl.hosts.refusals import changed, check_size, other_than


class MemoryHost:
    """Files by path. `on_restart` stands for the restart command; raising `StoppedError` is its way to fail."""

    def __init__(self, name: str, *, on_restart: Callable[[], None] | None = None) -> None:
        self._name = name
        self._on_restart = on_restart
        self.files: dict[str, HostFile] = {}
        self.links: set[str] = set()
        self.leftovers: dict[str, tuple[str, ...]] = {}
        self.free: int | None = 1 << 30
        self.now: Callable[[], float] = time.time
        self.ahead: float | None = 0.0

    @property
    def name(self) -> str:
        return self._name

    def place(self, path: str, content: bytes, *, mode: int = 0o600) -> HostFile:
        """Put a file there as anybody else would."""
        sha256 = "sha256:" + hashlib.sha256(content).hexdigest()
        self.files[path] = HostFile(path, content, sha256, mode, self.now(), self.ahead)
        return self.files[path]

    def read(self, path: str) -> HostFile | None:
        if path in self.links:
            raise RefusedError(f"host {self._name}: {path} is a symbolic link", rule="R13")
        found = self.files.get(path)
        check_size(self._name, path, len(found.content) if found else 0)
        return found

    def write(self, path: str, content: bytes, *, expected: str | None, in_place: bool = False) -> HostFile:
        check_size(self._name, path, len(content))
        found = self.read(path)
        if (found.sha256 if found else None) != expected:
            raise changed(self._name, path, other_than(expected, found.sha256 if found else None))
        return self.place(path, content, mode=0o600 if found is None or found.mode is None else found.mode)

    def remove(self, path: str, *, expected: str) -> None:
        found = self.read(path)
        if found is None or found.sha256 != expected:
            raise changed(self._name, path, other_than(expected, found.sha256 if found else None))
        del self.files[path]

    def sweep(self, path: str) -> tuple[str, ...]:
        return self.leftovers.pop(path, ())

    def free_bytes(self, path: str) -> int | None:
        return self.free

    def restart(self) -> None:
        if self._on_restart is None:
            raise StoppedError(f"host {self._name}: no restart command is known")
        self._on_restart()
