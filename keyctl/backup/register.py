"""Snapshots in the key store's register whose file is gone from where it was: kept for their copies, until forgotten.

Nobody knows of the copies that somebody made, so the keys of such a snapshot are held back as before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from keyctl.backup.key_needs import KeyNeed, plugin_needs, static_refs
from keyctl.errors import RefusedError
from keyctl.keys import backups
from keyctl.keys.backups import Backup, BackupKind, Proven, needing
from keyctl.keys.interface import KeyStore
from keyctl.keys.key import STATIC_PROVIDERS, KeyRef
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
    prints = tuple(dict.fromkeys((*(older.fingerprints if older else ()), *former.fingerprints)))
    ids = tuple(dict.fromkeys((*(older.key_ids if older else ()), *former.key_ids)))
    moved = replace(
        former, location=location, at=at.isoformat(), needs=needs, fingerprints=prints, tested=None, key_ids=ids
    )
    store.note_backup(moved)
    return location


def note_deleted(store: KeyStore, place: Path, deleted: Sequence[Backup], *, at: datetime, copies: bool) -> str | None:
    """Note that a policy deletes `deleted`, which is one entry for all that went from `place`; its name, None for none.

    With `copies` it holds back every key that any of them needed, until somebody forgets it. The newest restore test of
    any of them stays with it: that one backup came back is known, whatever became of its file.
    """
    if not deleted:
        return None
    location = str(place.absolute()) + _FORMER
    older = known(store, Path(location))
    held = [*([older] if older else []), *(deleted if copies else ())]
    tests = [one.tested for one in (*([older] if older else []), *deleted) if one.tested is not None]
    store.note_backup(
        Backup(
            BackupKind.SNAPSHOT,
            location,
            at.isoformat(),
            max(one.revision for one in deleted),
            tuple(dict.fromkeys(ref for one in held for ref in one.needs)),
            fingerprints=tuple(dict.fromkeys(pair for one in held for pair in one.fingerprints)),
            tested=max(tests, key=lambda one: one.at, default=None),
            key_ids=tuple(dict.fromkeys(pair for one in held for pair in one.key_ids)),
        )
    )
    return location


def entry(path: Path, needs: Sequence[KeyNeed], *, at: datetime, revision: int, sha256: str) -> Backup:
    """What the register is told of the snapshot `path`: the keys of its values, by the bytes that opened them.

    Of those that only a plugin opens: which one, and what it called its key. Nobody here keeps that one.
    """
    refs, plugins = static_refs(needs), plugin_needs(needs)
    prints = {need.ref: need.fingerprint for need in needs if need.opened and need.fingerprint and need.ref in refs}
    return Backup(
        BackupKind.SNAPSHOT,
        str(path.absolute()),
        at.isoformat(),
        revision,
        (*refs, *dict.fromkeys(need.ref for need in plugins)),
        sha256,
        tuple(prints.items()),
        key_ids=tuple((need.ref, need.key_id) for need in plugins if need.key_id),
    )


def register(store: KeyStore, noted: Backup, needs: Sequence[KeyNeed]) -> None:
    """Note a snapshot that somebody else saved, once it was read with every key of `store`.

    Raises `RefusedError` for one of which none of the encrypted values opened: it is of another cluster, or its keys
    are lost, and it would hold back keys that have nothing to do with it; and where the register has another snapshot
    of that name.
    """
    static = [need for need in needs if need.ref in static_refs(needs)]
    if static and not any(need.opened for need in static):
        raise RefusedError(
            f"the snapshot {noted.location} is not registered",
            cause=f"no key of the key store {store.location} opens any of its values: is it of another cluster?",
            hint="name the cluster file of its cluster, or the file that has its keys: --encryption-config CONFIG",
        )
    former = known(store, Path(noted.location))
    if former is not None and former.sha256 not in ("", noted.sha256):
        raise RefusedError(
            f"the key store {store.location} knows another snapshot by the name {noted.location}",
            cause=f"that one has SHA-256 {former.sha256}, this one {noted.sha256 or 'none'}",
            hint="give the file a new name",
        )
    store.note_backup(noted if former is None else replace(noted, tested=former.tested))


def note_test(store: KeyStore, path: Path, sha256: str, tested: Proven) -> bool:
    """Write `tested` to every snapshot of the register that is this one, by its SHA-256 or, without, by its name.

    False where the register does not know it.
    """
    location = str(path.absolute())
    noted = [one for one in store.backups() if one.kind is BackupKind.SNAPSHOT]
    same = [one for one in noted if (one.sha256 == sha256 if sha256 else one.location == location)]
    for one in same:
        store.note_backup(replace(one, tested=tested))
    return bool(same)


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
    refs = dict.fromkeys(ref for one in chosen.values() for ref in one.needs if ref.provider in STATIC_PROVIDERS)
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
