"""What the use cases need of a control-plane host, and no more."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class HostFile:
    """A file as read: its text (which may hold keys: no repr), and "sha256:<hex>" of its raw bytes."""

    path: str
    content: bytes = field(repr=False)
    sha256: str
    mode: int


class Host(Protocol):
    """One control-plane host. Every failure is an `UnreachableError` naming the host and the path."""

    @property
    def name(self) -> str:
        """Which API server's host this is."""
        ...

    def read(self, path: str) -> HostFile | None:
        """The file, or None when it does not exist. A symbolic link raises `RefusedError` (R13)."""
        ...

    def write(self, path: str, content: bytes, *, expected: str | None, in_place: bool = False) -> HostFile:
        """Replace the file atomically and durably; 0600 when new, owner and mode kept and never widened when not.

        `expected` is the "sha256:…" the file must have now, None when it must not exist; anything else raises
        `RefusedError` (R8: somebody else changed it). `in_place` rewrites the same inode, with a synced copy
        kept beside it, for a pod that mounts the single file. Returns the file as read back.
        """
        ...

    def remove(self, path: str, *, expected: str) -> None:
        """Take the file away, durably. It must have the hash `expected`, else `RefusedError` (R8)."""
        ...

    def sweep(self, path: str) -> tuple[str, ...]:
        """Remove our own leftover temporaries beside `path`; returns their names."""
        ...

    def free_bytes(self, path: str) -> int:
        """Free space of the file system that holds `path`."""
        ...

    def restart(self) -> None:
        """Run the configured restart command and wait for it to end. `StoppedError` when it fails."""
        ...
