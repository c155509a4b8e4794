"""What is known of snapshots: of each what was read in it, of each directory that it was looked through. Values only.

The values of the files are counted and named here, never kept. Judges nothing and opens nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from keyctl.findings import Evidence, Location
from keyctl.keys.key import KeyRef
from keyctl.stored.groups import Group
from keyctl.verify.leftovers import Leftovers


@dataclass(frozen=True, slots=True)
class BackupPlace:
    """A directory that was looked through at `looked_at` with all below it; `snapshots` were found there."""

    location: Location
    snapshots: int
    looked_at: datetime
    evidence: Evidence = Evidence.E1


@dataclass(frozen=True, slots=True)
class Need:
    """A key that live values of a snapshot name. `values` stand under it, `opened` of them with a key at hand.

    `fingerprint` is that of the key that opened them, None where none did, or where the name stands for several.
    `key_id` is what a KMS plugin called its own key.
    """

    ref: KeyRef
    values: int
    opened: int
    fingerprint: str | None
    key_id: str | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """What a snapshot holds under `prefix`. `others` are the first parts of keys elsewhere, with their counts.

    `tried` are the fingerprints of all keys that were at hand to open its values.
    """

    prefix: str
    revision: int
    groups: tuple[Group, ...]
    left: Leftovers
    needs: tuple[Need, ...]
    tried: frozenset[str] = frozenset()
    others: tuple[tuple[str, int], ...] = ()

    @property
    def values(self) -> int:
        """How many live values there are under the prefix."""
        return sum(one.values for one in self.groups)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One snapshot file, read from end to end, below the `directory` of backups; this and `path` are absolute.

    `sha256` is the one at its end, "" where it has none. `wrong` says what is not as it should be, a sentence each;
    `content` is None where it could not be read for that. `manifest` says that one lies beside it. `saved` is when its
    manifest says that these very bytes were saved, `renewed` when the newest Lease in it was renewed: it was taken then
    or later. `modified` is the time of the file, which a copy sets anew, and anybody can. `closed`: it is encrypted,
    and all that is known of it is what its manifest says, of the very bytes that lie there.
    """

    location: Location
    path: str
    directory: str
    looked_at: datetime
    modified: datetime
    sha256: str = ""
    wrong: tuple[str, ...] = ()
    manifest: bool = False
    saved: datetime | None = None
    renewed: datetime | None = None
    content: Content | None = None
    closed: bool = False
    evidence: Evidence = Evidence.E3


@dataclass(frozen=True, slots=True)
class RawKey:
    """A key whose bytes lie in a file below a directory of backups. `what` is that file: "a key file of keyctl".

    `directory` is absolute.
    """

    ref: KeyRef
    fingerprint: str
    what: str
    directory: str
    location: Location
    evidence: Evidence = Evidence.E1
