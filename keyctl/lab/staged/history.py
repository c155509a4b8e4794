"""What an etcd remembers: every change in order, what a compaction took out of the tree, and what is live."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

# etcd's first revision is that of its empty store.
_EMPTY = 1


@dataclass(frozen=True, slots=True)
class Change:
    """One put or, with `value` None, one deletion of `key`, as an mvccpb.KeyValue tells it."""

    key: bytes
    value: bytes | None = field(repr=False)
    revision: int
    created: int
    version: int


@dataclass(slots=True)
class History:
    """An etcd's changes. `compacted` is the revision up to which overwritten ones have left the tree; 0: none."""

    changes: list[Change] = field(default_factory=list)
    compacted: int = 0
    _newest: dict[bytes, Change] = field(default_factory=dict)

    @property
    def revision(self) -> int:
        """The newest revision."""
        return self.changes[-1].revision if self.changes else _EMPTY

    def put(self, key: bytes, value: bytes) -> None:
        """Write `value`."""
        before = self._newest.get(key)
        change = Change(key, value, self.revision + 1, self.revision + 1, 1)
        if before is not None and before.value is not None:
            change = replace(change, created=before.created, version=before.version + 1)
        self._add(change)

    def delete(self, key: bytes) -> None:
        """Delete what is at `key`."""
        self._add(Change(key, None, self.revision + 1, 0, 0))

    def compact(self) -> None:
        """Compact to the newest revision."""
        self.compacted = self.revision

    def defragment(self) -> None:
        """Forget what compaction took out of the tree, as a database does that is written anew."""
        self.changes = self.kept()

    def kept(self) -> list[Change]:
        """What the tree still has."""
        return [change for change in self.changes if not self._is_gone(change)]

    def gone(self) -> list[Change]:
        """What compaction took out of the tree."""
        return [change for change in self.changes if self._is_gone(change)]

    def _add(self, change: Change) -> None:
        self.changes.append(change)
        self._newest[change.key] = change

    def _is_gone(self, change: Change) -> bool:
        """Etcd keeps the newest change up to the compacted revision, unless that is a deletion."""
        if change.revision > self.compacted:
            return False
        up_to = max(one.revision for one in self.changes if one.key == change.key and one.revision <= self.compacted)
        return change.revision < up_to or change.value is None
