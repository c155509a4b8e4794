"""What the use cases need of a control-plane host, and no more."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from keyctl.errors import UnreachableError


@dataclass(frozen=True, slots=True)
class HostFile:
    """A file as read: its text (which may hold keys: no repr), and "sha256:<hex>" of its raw bytes.

    `mode` is None where the way to the host does not tell it: then nothing is known of who may read the file.
    `changed` is when its bytes or its place last changed (the later of mtime and ctime), in Unix seconds by the host's
    clock, and `ahead` by how many seconds that clock is ahead of ours; both None where the way does not tell.
    """

    path: str
    content: bytes = field(repr=False)
    sha256: str
    mode: int | None
    changed: float | None = field(default=None, compare=False)
    ahead: float | None = field(default=None, compare=False)


class HostUnreachableError(UnreachableError):
    """Nobody could get to the host, or it let nobody in: nothing was looked at there, and nothing was done."""


class Host(Protocol):
    """One control-plane host. Every failure is an `UnreachableError` naming the host and the path.

    A file of more than 1 MiB raises `UnusableInputError`. Where a connection is lost in the middle it is not known
    whether the act was done: every act checks what the file holds, so the caller may look, and do it again.
    """

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

    def free_bytes(self, path: str) -> int | None:
        """Free space of the file system that holds `path`; None where the way to the host does not tell it."""
        ...

    def restart(self) -> None:
        """Have the server restarted as configured, and wait for what was asked to end. `StoppedError` when it fails."""
        ...
