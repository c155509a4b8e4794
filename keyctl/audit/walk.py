"""Which files lie below a directory, each directory once. Lists and looks at links; opens no file, judges nothing.

A link to a directory is followed, after everything that lies there by itself, but never upwards: one to a directory
that the given one lies in says nothing about what was given.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from keyctl.errors import UnusableInputError
from keyctl.stored.display import display

_SUFFIXES = frozenset(
    {"", ".cert", ".cfg", ".conf", ".config", ".crl", ".crt", ".db", ".env", ".j2", ".json", ".key", ".pem", ".rules"}
) | {".service", ".tftpl", ".tmpl", ".tpl", ".yaml", ".yml"}
_SKIPPED = frozenset({".git", ".terraform", ".tox", ".venv", "__pycache__", "node_modules"})
# What looks like files there is the kernel, and some of it waits for ever to be read.
_NO_FILES = (Path("/proc"), Path("/sys"))
_STATIC_PODS = frozenset({"manifests", "pod-manifests"})
# Names of snapshots have dates in them, and dots in these.
_SNAPSHOT = re.compile(r"snap|backup|\.db\b", re.IGNORECASE)
_AUDIT_LOG = re.compile(r"audit.*\.log", re.IGNORECASE)


def files(given: Path, refused: list[OSError]) -> Iterator[Path]:
    """The file itself, or those below a directory in a fixed order; `refused` gets what cannot be listed.

    Raises `UnusableInputError` for what is neither.
    """
    if not given.exists():
        raise UnusableInputError(f"there is no {display(str(given))}", hint="name files or directories that are there")
    if given.is_file():
        yield given
    elif given.is_dir():
        yield from _below(given, refused)
    else:
        raise UnusableInputError(f"{display(str(given))} is neither a file nor a directory", hint="name one that is")


def holds_static_pods(path: Path) -> bool:
    """Whether the file lies in a directory of the kubelet's, which reads every file there."""
    # A link stands where it is written, so nothing is resolved.
    return Path(os.path.abspath(path)).parent.name in _STATIC_PODS  # noqa: PTH100


def _below(given: Path, refused: list[OSError]) -> Iterator[Path]:
    seen = {identity(one) for one in given.resolve().parents}
    no_files = {identity(one)[0] for one in _NO_FILES if os.path.ismount(one)}
    waiting = [given]
    while waiting:
        for directory, below, names in os.walk(waiting.pop(0), onerror=refused.append):
            here = Path(directory)
            try:
                own = identity(here)
            except OSError as error:
                refused.append(error)
                own = None
            if own is None or own in seen or own[0] in no_files:
                below.clear()
                continue
            seen.add(own)
            # Path.is_symlink raises where one may not look.
            linked = {name for name in below if os.path.islink(here / name)}  # noqa: PTH114
            waiting += (here / name for name in sorted(linked - _SKIPPED))
            below[:] = sorted(set(below) - linked - _SKIPPED)
            yield from (here / name for name in sorted(names) if _is_looked_at(here / name))


def identity(directory: Path) -> tuple[int, int]:
    """By what a directory is known under all its names."""
    status = directory.stat()
    return status.st_dev, status.st_ino


def _is_looked_at(path: Path) -> bool:
    """Whether its name lets it be one of ours; the kubelet reads what it finds, whatever its name."""
    if path.suffix.lower() in _SUFFIXES or _SNAPSHOT.search(path.name) or _AUDIT_LOG.search(path.name):
        return True
    return holds_static_pods(path) and not path.name.startswith(".")
