"""Every object that was ever stored under one key: when the key has leaked, so has what it sealed.

Looks into the snapshots that the rotation took before it changed anything and
before it rewrote anything, and into every registered one that needs the key: live
values, history, and what lies in freed pages. Values are told by the key that they
name; none is opened.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from keyctl.errors import KeyctlError
from keyctl.keys.backups import BackupKind
from keyctl.keys.key import KeyRef
from keyctl.keys.private_files import place
from keyctl.rotation.world import World
from keyctl.stored import paths
from keyctl.stored.envelope import seal_head
from keyctl.stored.source import FileSource, Value


@dataclass(frozen=True, slots=True)
class Exposed:
    """The list of objects at `path`. `missed` is the number of snapshots that could not be looked at."""

    path: Path
    objects: int
    unnamed: int
    missed: int

    def to_record(self) -> dict[str, object]:
        """As JSON-ready fields."""
        return {"path": str(self.path), "objects": self.objects, "unnamed": self.unnamed, "missed": self.missed}


@dataclass(slots=True)
class _Seen:
    first: int
    last: int
    live: bool = False


@dataclass(slots=True)
class Exposure:
    """What stood under `refs`, the names of one key.

    `unnamed` pieces in freed pages do not tell whose they were; `missed`: not readable.
    """

    refs: tuple[KeyRef, ...]
    objects: dict[bytes, _Seen] = field(default_factory=dict)
    unnamed: int = 0
    looked_at: list[str] = field(default_factory=list)
    missed: dict[str, str] = field(default_factory=dict)

    def to_record(self, prefix: bytes, *, rotation: str) -> dict[str, object]:
        """As a JSON-ready document, objects in the order of their keys."""
        return {
            "apiVersion": "keyctl/v1",
            "kind": "ExposedObjects",
            "key": str(self.refs[0]),
            "names": [str(ref) for ref in self.refs],
            "rotation": rotation,
            "objects": [_object(prefix, key, seen) for key, seen in sorted(self.objects.items())],
            "unnamedPieces": self.unnamed,
            "lookedAt": self.looked_at,
            "notLookedAt": [{"location": place, "reason": reason} for place, reason in sorted(self.missed.items())],
        }


def exposure(world: World, refs: tuple[KeyRef, ...], own_snapshots: Sequence[Path]) -> Exposure:
    """Look everywhere for what stood under `refs`, the names of one key.

    Raises what a `ValueSource` raises for one of `own_snapshots`, which this rotation
    took; another snapshot that cannot be read is `missed`.
    """
    found = Exposure(refs)
    newest = {str(path.absolute()) for path in own_snapshots}
    for path in own_snapshots:
        _look(world, found, path, live=True)
    for backup in world.store.backups():
        if backup.kind is not BackupKind.SNAPSHOT or backup.location in newest or not {*refs} & {*backup.needs}:
            continue
        try:
            _look(world, found, Path(backup.location), live=False)
        except (KeyctlError, OSError) as error:
            found.missed[backup.location] = str(error)
    return found


def write(directory: Path, found: Exposure, prefix: str, *, rotation: str) -> Exposed:
    """Write the list, for its owner alone, into `directory`."""
    path = directory / f"{rotation}.json"
    record = found.to_record(paths.root_of(prefix.encode()), rotation=rotation)
    place(path, (json.dumps(record, indent=1, ensure_ascii=True) + "\n").encode())
    return Exposed(path, len(found.objects), found.unnamed, len(found.missed))


def _look(world: World, found: Exposure, path: Path, *, live: bool) -> None:
    source, root = world.open_snapshot(path), paths.root_of(world.prefix.encode())
    _note(found, source.batches(root), live=live)
    if isinstance(source, FileSource):
        _note(found, source.history(root), live=False)
        _note_pieces(found, source)
    found.looked_at.append(str(path))


def _note_pieces(found: Exposure, source: FileSource) -> None:
    """What lies outside of the records: whose it was is known only where the record around it is whole."""
    for piece in chain.from_iterable(source.fragments()):
        if piece.key is not None and piece.revision is not None:
            _note(found, [[(piece.key, piece.value, piece.revision)]], live=False)
        elif piece.value.startswith(_heads(found)):
            found.unnamed += 1


def _note(found: Exposure, batches: Iterable[Iterable[Value]], *, live: bool) -> None:
    heads = _heads(found)
    for batch in batches:
        for key, value, revision in batch:
            if not value.startswith(heads):
                continue
            seen = found.objects.setdefault(key, _Seen(revision, revision))
            seen.first, seen.last = min(seen.first, revision), max(seen.last, revision)
            seen.live |= live


def _heads(found: Exposure) -> tuple[bytes, ...]:
    return tuple(seal_head(ref.provider, "v1", ref.name) for ref in found.refs)


def _object(prefix: bytes, key: bytes, seen: _Seen) -> dict[str, object]:
    path = paths.parse(prefix, key)
    return {
        "resource": "" if path is None else path.resource,
        "namespace": None if path is None else path.namespace,
        "name": key.decode("utf-8", "backslashreplace") if path is None else path.name,
        "firstRevision": seen.first,
        "lastRevision": seen.last,
        "live": seen.live,
    }
