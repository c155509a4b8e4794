"""Snapshots in the key store's register whose file is gone from where it was: kept for their copies, until forgotten.

Nobody knows of the copies that somebody made, so the keys of such a snapshot are held back as before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from keyctl.errors import RefusedError
from keyctl.keys import backups
from keyctl.keys.backups import Backup, BackupKind, needing
from keyctl.keys.interface import KeyStore
from keyctl.keys.key import KeyRef
from keyctl.keys.private_files import is_gone
from keyctl.stored.display import display

# Behind a name: whatever snapshots had it before the one that has it now.
_FORMER = "@gone"
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Forgetting:
    """What is forgotten: `freed` are the keys that no registered backup holds back then, `held` those that one does."""

    forgotten: tuple[Backup, ...]
    freed: tuple[KeyRef, ...]
    held: tuple[KeyRef, ...]


def is_former(backup: Backup) -> bool:
    """Whether it stands for copies alone, its file having made way for a newer one of the same name."""
    return backup.kind is BackupKind.SNAPSHOT and backup.location.endswith(_FORMER)


def known(store: KeyStore, path: Path) -> Backup | None:
    """What the register has by the name `path`."""
    location = str(path.absolute())
    return next((one for one in store.backups() if one.location == location), None)


def make_way(store: KeyStore, path: Path, at: datetime) -> str | None:
    """Note what is registered as `path`, whose file is gone, under another name; that name, None if nothing was.

    All snapshots that had the name are one entry, which needs every key that any of them needed.
    """
    former = known(store, path)
    if former is None or former.kind is not BackupKind.SNAPSHOT:
        return None
    location = former.location + _FORMER
    older = known(store, Path(location))
    needs = tuple(dict.fromkeys((*(older.needs if older else ()), *former.needs)))
    store.note_backup(replace(former, location=location, at=at.isoformat(), needs=needs))
    return location


def forgetting(store: KeyStore, files: Sequence[Path]) -> Forgetting:
    """What comes of forgetting `files`; changes nothing.

    Raises `UnusableInputError` for one that is not registered, and `RefusedError` for one whose file is still there.
    """
    registered = {one.location: one for one in store.backups() if one.kind is BackupKind.SNAPSHOT}
    chosen: dict[str, Backup] = {}
    for path in files:
        location = str(path.absolute())
        if location not in registered:
            raise backups.unknown(location, store.location)
        if not is_gone(path):
            raise RefusedError(
                f"the snapshot {path} is not forgotten",
                cause="its file is there, or whether it is cannot be seen",
                hint="remove it first, and every copy of it",
            )
        chosen[location] = registered[location]
    left = [one for one in store.backups() if one.location not in chosen]
    refs = dict.fromkeys(ref for one in chosen.values() for ref in one.needs)
    held = tuple(ref for ref in refs if needing(left, ref))
    return Forgetting(tuple(chosen.values()), tuple(ref for ref in refs if ref not in held), held)


def elsewhere(registered: Iterable[Backup]) -> Iterator[str]:
    """The registered snapshots in a few lines: the newest that are there by name, the others by their number."""
    snapshots = [one for one in registered if one.kind is BackupKind.SNAPSHOT]
    there = sorted((one for one in snapshots if not is_gone(Path(one.location))), key=lambda one: one.at, reverse=True)
    for one in there[:_MOST_NAMED]:
        yield f"the snapshot {display(one.location)}, noted at {display(one.at)}"
    all_of_them = "; all of them: keyctl keys list -o json"
    if (more := len(there) - _MOST_NAMED) > 0:
        yield f"{more} older registered {_snapshots(more)}{all_of_them}"
    if gone := len(snapshots) - len(there):
        yield f"what copies there are of {gone} registered {_snapshots(gone)} gone from where they were{all_of_them}"


def _snapshots(count: int) -> str:
    return "snapshot" if count == 1 else "snapshots"
