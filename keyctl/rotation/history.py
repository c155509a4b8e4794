"""What etcd's history still needs: superseded revisions under keys that have left the files (rules R4 and R6)."""

from __future__ import annotations

from collections.abc import Iterable

from keyctl.keys.backups import Backup, BackupKind
from keyctl.keys.key import KeyRef
from keyctl.rotation.world import EtcdPlace, World

Revisions = tuple[tuple[EtcdPlace, int], ...]


def revisions_of(world: World) -> Revisions:
    """Each etcd that has a history, and the newest revision that any of its members has."""
    found = ((place, max(member.revision for member in place.etcd.status())) for place in world.etcds)
    # NOTE: an etcd at revision 1 has nothing before it, and cannot be asked for revision 0.
    return tuple((place, revision) for place, revision in found if revision > 1)


def note_history(world: World, revisions: Revisions, needs: Iterable[KeyRef]) -> None:
    """Register that `needs` open what stood before `revisions`, which an etcd may show until it is compacted."""
    refs = tuple(needs)
    for place, revision in revisions:
        at = world.clock.now().isoformat()
        world.store.note_backup(Backup(BackupKind.HISTORY, place.endpoints[0], at, revision, refs))
