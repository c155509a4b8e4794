"""What Git has to do with a file, told by the index of the work tree that it lies in. Starts no program."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from keyctl.audit.facts import Git
from keyctl.audit.sources.git_index import is_tracked

# A host's own directories, which some keep in Git as they stand there.
HOSTS_OWN = (Path("/"), Path("/etc"))
_EMPTY = b"DIRC\0\0\0\2\0\0\0\0"
_WORST_FIRST = (Git.TRACKED, Git.UNTOLD, Git.UNTRACKED, Git.OUTSIDE)


class WorkTrees:
    """The Git work trees around what is asked for, each index read once."""

    def __init__(self) -> None:
        self._roots: dict[Path, Path | None] = {}
        self._indexes: dict[Path, bytes | None] = {}

    def root(self, path: Path) -> Path | None:
        """The top of the work tree that an absolute path is, or lies in."""
        if path not in self._roots:
            above = self.root(path.parent) if path != path.parent else None
            # Path.exists raises where one may not look.
            self._roots[path] = path if os.path.exists(path / ".git") else above  # noqa: PTH110
        return self._roots[path]

    def says(self, path: Path) -> Git:
        """What Git has to do with the file under this name, and under the one that its links lead to."""
        # As it is spelled: a link is tracked under its own name. Path.absolute leaves .. in it.
        spelled = Path(os.path.abspath(path))  # noqa: PTH100
        return worst(self._says(one) for one in {spelled, path.resolve()})

    def has_checked_out(self, path: Path) -> bool:
        """Whether the file got its mode from Git: it lies in a work tree that is no directory of the host itself."""
        return self.root(path.resolve().parent) not in (None, *HOSTS_OWN)

    def _says(self, path: Path) -> Git:
        root = self.root(path.parent)
        if root is None:
            return Git.OUTSIDE
        if root not in self._indexes:
            self._indexes[root] = _index(root)
        tracked = is_tracked(self._indexes[root] or b"", os.fsencode(path.relative_to(root).as_posix()))
        return Git.UNTOLD if tracked is None else Git.TRACKED if tracked else Git.UNTRACKED


def worst(found: Iterable[Git]) -> Git:
    """Of several names of one file, the answer that exposes it most."""
    return min(found, key=_WORST_FIRST.index)


def _index(root: Path) -> bytes | None:
    try:
        return (root / ".git" / "index").read_bytes()
    except FileNotFoundError:
        return _EMPTY
    except OSError:
        # A linked work tree or a submodule has its index elsewhere.
        return None
