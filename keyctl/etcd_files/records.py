"""Where the values are in etcd's file: those that are live at a revision, or all others that are still there.

One pass from the newest record to the oldest, without a table of all keys: the
first record of a key that is met is the live one, and a key is remembered only
while an older record of it may follow. None can where a record is the first of
its key, or the newest that a compaction kept. Whether this held for every key
is known at the end, from a hash of each.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Container, Generator, Iterable, Sequence
from dataclasses import dataclass, field

from keyctl.etcd_files.bbolt import LEAF_ELEMENT, BoltFile, LeafRun
from keyctl.etcd_files.bbolt_meta import PAGE_HEADER
from keyctl.etcd_files.mvcc import RECORDS, REVISION, SEPARATOR, TOMBSTONE, Record, Standing, read_record
from keyctl.etcd_files.usual_run import BEFORE_KEY, LEASE, USUAL, Sizes, UsualRun, places, usual_run
from keyctl.stored.source import Packed

_GROUPS = 64
_LAST_SUB = 0xFFFFFFFFFFFFFFFF
_SEPARATOR_AT = 8


@dataclass(frozen=True, slots=True)
class Find:
    """Wanted records among the bytes `content`, which lie at `offset` of the file.

    `told` are their places as in `Packed`, or, with `usual`, the columns of which `usual_run.places` makes them: that
    is left to whoever has time. `hashes` are those of their keys, eight bytes each, where live ones are looked for.
    """

    offset: int
    content: bytes = field(repr=False)
    told: bytes = field(repr=False)
    usual: bool
    hashes: bytes = field(default=b"", repr=False)

    def places(self) -> bytes:
        """Their places."""
        return places(self.told) if self.usual and self.told else self.told


class Reader:
    """One way through the records, backwards. `past`: what is not live is wanted, instead of what is.

    `prefix` is how the keys start that are wanted, `revision` the one at which they are live.
    """

    def __init__(
        self, bolt: BoltFile, name: str, standing: Standing, prefix: bytes, revision: int, *, past: bool = False
    ) -> None:
        self._bolt, self._name, self._prefix, self._past = bolt, name, prefix, past
        self._limit, self._compacted = _end_of(revision), _end_of(standing.compacted)
        # The record before, and the keys of which older records may follow.
        self._newer = b"\xff" * REVISION.size
        self._seen: set[bytes] = set()
        self._sizes = Sizes()

    def finds(self) -> Generator[Find]:
        """Go through the records. Raises `UnusableInputError` for a damaged one."""
        for run in self._bolt.runs_backwards(RECORDS):
            usual = usual_run(run, self._sizes)
            if usual is not None and not self._all_live(usual):
                usual = None
            told, keys = self._read_each(run) if usual is None else self._read_all(usual)
            yield Find(run.offset, run.content, told, usual is not None, array("q", list(map(_hash, keys))).tobytes())

    def _read_all(self, usual: UsualRun) -> tuple[bytes, Sequence[bytes]]:
        """The columns of the wanted records of `usual`, which are all live, and the keys of live ones."""
        self._newer = usual.entries[-1]
        return (b"", ()) if self._past else (usual.columns(), usual.keys)

    def _all_live(self, usual: UsualRun) -> bool:
        """Whether all of these records are wanted as live ones are, and none says anything about an older one."""
        newest, keys = usual.entries[0], usual.keys
        return (
            newest < self._newer
            and newest <= self._limit
            and (usual.all_first or newest <= self._compacted)
            and (not self._seen or self._seen.isdisjoint(keys))
            and min(keys) >= self._prefix
            and max(keys).startswith(self._prefix)
        )

    def _read_each(self, run: LeafRun) -> tuple[bytes, Sequence[bytes]]:
        """The places of the wanted records of `run`, whatever they are, and the keys of live ones."""
        content, newer, seen, past = run.content, self._newer, self._seen, self._past
        limit, compacted, prefix, sizes = self._limit, self._compacted, self._prefix, self._sizes
        unpack, usual, lease = LEAF_ELEMENT.iter_unpack, USUAL.match, LEASE.fullmatch
        change_size, element_size = REVISION.size, LEAF_ELEMENT.size
        places: list[int] = []
        keys: list[bytes] = []
        for leaf in reversed(run.leaves):
            _, start, end, held = leaf
            elements = start + PAGE_HEADER.size
            element = elements + held * element_size
            for flags, position, key_size, size in reversed(list(unpack(content[elements:element]))):
                element -= element_size
                at = element + position
                stop = at + key_size + size
                known = False
                found = usual(content, at, stop)
                if found and key_size == change_size and stop <= end and not flags:
                    entry, told_key, key, _, first, told = found.groups()
                    value_at = found.end()
                    value_end = value_at + sizes[told]
                    if value_end == stop or lease(content, value_end, stop):
                        known = entry < newer and len(key) == told_key[0]
                if known:
                    newer, is_first, key_at = entry, first is not None, at + BEFORE_KEY
                    key_end = key_at + len(key)
                else:
                    entry, record = self._look(run, leaf, element, newer)
                    newer = entry[:change_size]
                    if record is None:
                        continue
                    key_at, key_end, value_at, value_end, is_first = record
                    key = content[key_at:key_end]
                if not key.startswith(prefix):
                    continue
                wanted = past
                if entry <= limit:
                    if key not in seen:
                        wanted = not past
                        # NOTE: what a compaction left under a deletion, though it should not, etcd has as deleted.
                        if not is_first and (entry > compacted or key_size > change_size):
                            seen.add(key)
                    elif is_first:
                        seen.discard(key)
                if wanted and key_size == change_size:
                    places += (at, key_at, key_end, value_at, value_end)
                    keys.append(key)
        self._newer = newer
        return array("Q", places).tobytes(), () if past else keys

    def _look(
        self, run: LeafRun, leaf: tuple[int, int, int, int], element: int, newer: bytes
    ) -> tuple[bytes, Record | None]:
        """The revision of the record that `element` tells of, and where its parts are; None when it has no content.

        Raises when it is neither a change nor a deletion that is older than the record before.
        """
        number, _, end, _ = leaf
        flags, position, key_size, size = LEAF_ELEMENT.unpack_from(run.content, element)
        at = element + position + key_size
        entry = run.content[at - key_size : at]
        change, mark = entry[: REVISION.size], entry[REVISION.size :]
        if flags or at + size > end:
            what = "an entry reaches beyond it, or is no record"
        elif len(change) < REVISION.size or change[_SEPARATOR_AT] != SEPARATOR[0] or mark not in (b"", TOMBSTONE):
            what = f"{len(entry)} bytes that are no revision"
        elif change >= newer:
            what = "its revisions are out of order"
        elif size or mark:
            return entry, read_record(run.content, at, at + size, run.offset, self._name)
        else:
            # A restore that bumps the revision leaves a record without content.
            return entry, None
        raise self._bolt.damage(number, run.offset + element, what)


class KeyHashes:
    """The hashes of all keys that were found, to tell whether one was found twice. Takes eight bytes a key."""

    def __init__(self) -> None:
        self._groups = [array("q") for _ in range(_GROUPS)]

    def note(self, hashes: bytes) -> None:
        """Remember what `Find.hashes` holds."""
        notes = [group.append for group in self._groups]
        for hashed in array("q", hashes):
            notes[hashed % _GROUPS](hashed)

    def repeated(self) -> set[int]:
        """Those that were found more than once: none, if every key was found once."""
        doubtful = (group for group in self._groups if len(set(group)) < len(group))
        return {number for group in doubtful for number, times in Counter(group).items() if times > 1}


def twice(finds: Iterable[Find], suspects: Container[int]) -> bytes | None:
    """The first key that is found twice, of those whose hash is among `suspects`; different keys may share one."""
    met: set[bytes] = set()
    for find in finds:
        for key, _, _ in Packed(((find.content, find.places()),)):
            if _hash(key) in suspects:
                if key in met:
                    return key
                met.add(key)
    return None


def _end_of(revision: int) -> bytes:
    """What the bbolt key of every change up to `revision` is not above."""
    return REVISION.pack(revision, SEPARATOR, _LAST_SUB) + TOMBSTONE


# A name of its own, so that a test can make keys collide.
_hash = hash
