"""Which labs there are: claim a directory for one, find it again, clean what a killed owner left.

Every lab has an entry in one directory per user: its own directory, or a link
to it. A directory is a lab's only when it holds an owner file; nothing else is
ever removed.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from keyctl.errors import RefusedError, WrongUsageError
from keyctl.lab.layout import Layout
from keyctl.lab.locking import locked
from keyctl.lab.processes import ProcessId, stop

_PATIENCE = 120.0


def labs_root() -> Path:
    """Where this user's labs are kept or linked."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base).absolute() / "keyctl" / "labs"


def claim(name: str, directory: Path | None, progress: Callable[[str], None]) -> Layout:
    """A fresh directory (0700) for lab `name`, owned by this process until `keep`.

    First cleans every lab whose owner is gone, and one in this place that has no process left (a reboot).
    Raises `RefusedError` when the lab is up or the directory holds anything else.
    """
    entry = labs_root() / name
    layout = Layout((directory or entry).absolute())
    with locked(labs_root(), patience=_PATIENCE):
        _sweep(progress)
        for place in {entry.resolve(), layout.root.resolve()}:
            _make_room(name, Layout(place), progress)
        layout.root.mkdir(mode=0o700, parents=True)
        layout.owner.write_text(json.dumps(ProcessId.current().as_document()))
        if layout.root != entry:
            entry.symlink_to(layout.root)
    return layout


def keep(layout: Layout) -> None:
    """Let the lab outlive this process."""
    layout.owner.write_text("null")


def find(name: str, directory: Path | None = None) -> Layout:
    """The lab called `name`, or the one in `directory`. Raises `WrongUsageError` when there is none."""
    layout = Layout(directory.absolute() if directory else (labs_root() / name).resolve())
    if not layout.owner.is_file():
        known = ", ".join(sorted(entry.name for entry in _entries())) or "none"
        raise WrongUsageError(
            f"there is no lab {directory or name}", cause=f"labs here: {known}", hint="start one: keyctl lab up"
        )
    return layout


def remove(layout: Layout) -> int:
    """Stop every process of a lab and remove its directory and its entry. Returns how many processes it stopped."""
    with locked(labs_root(), patience=_PATIENCE):
        return _remove(layout)


def recorded(layout: Layout) -> dict[str, ProcessId]:
    """The processes of a lab by name, alive or not."""
    return _records(layout.run)


def _records(directory: Path) -> dict[str, ProcessId]:
    found = {record.stem: ProcessId.read(record) for record in sorted(directory.glob("*.json"))}
    return {name: process for name, process in found.items() if process is not None}


def _remove(layout: Layout) -> int:
    # NOTE: first of all, so that a process that is just being started ends instead of going on unrecorded.
    if layout.run.exists():
        layout.run.replace(layout.closed)
    alive = [process for process in _records(layout.closed).values() if process.alive()]
    for process in alive:
        stop(process)
    shutil.rmtree(layout.root)
    for entry in _entries():
        if entry.is_symlink() and not entry.exists():
            entry.unlink()
    return len(alive)


def _sweep(progress: Callable[[str], None]) -> None:
    for entry in _entries():
        layout = Layout(entry.resolve())
        if entry.is_symlink() and not layout.owner.is_file():
            entry.unlink()
        elif layout.root.is_dir() and _ownerless(layout):
            stopped = _remove(layout)
            progress(f"cleaned lab {entry.name}, whose owner is gone: {stopped} processes stopped")


def _make_room(name: str, layout: Layout, progress: Callable[[str], None]) -> None:
    if not layout.root.exists():
        return
    if not layout.owner.is_file():
        if any(layout.root.iterdir()):
            raise RefusedError(f"{layout.root} is not empty", hint="name a directory that does not exist yet")
        layout.root.rmdir()
    elif _ownerless(layout) or not any(process.alive() for process in recorded(layout).values()):
        _remove(layout)
        progress(f"cleaned {layout.root}, left by a lab that does not run any more")
    else:
        raise RefusedError(f"lab {name} is already up in {layout.root}", hint=f"keyctl lab down --name {name}")


def _ownerless(layout: Layout) -> bool:
    try:
        owner = json.loads(layout.owner.read_text())
    except (FileNotFoundError, ValueError):
        # NOTE: we hold the lock under which owners are written: this one died in between.
        return True
    return owner is not None and not ProcessId(**owner).alive()


def _entries() -> Iterator[Path]:
    root = labs_root()
    return iter(sorted(root.iterdir())) if root.is_dir() else iter(())
