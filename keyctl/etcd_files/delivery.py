"""Deliver the values of an open database, with the help of a second process where that is quicker.

The child goes through the records and says where each value is; this process
reads it there. Without a child both are done here, with the same answer.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import BinaryIO

from keyctl.errors import UnusableInputError
from keyctl.etcd_files.bbolt import BoltFile
from keyctl.etcd_files.bbolt_meta import Sliceable
from keyctl.etcd_files.forked import forked
from keyctl.etcd_files.mvcc import Standing
from keyctl.etcd_files.records import Find, KeyHashes, Reader, twice
from keyctl.stored.display import display
from keyctl.stored.source import PLACE, Packed

# A batch is delivered when it holds so many places, or so many bytes were read for it: they are counted while the
# processor still has them in its own memory, and two batches at a time are too little for the C library to give back.
_BATCH_PLACES, _BATCH_BYTES = 1000 * PLACE.size, 128 << 10
# What the child writes: where the content of a find lies, its size, whether it is a usual one, and the sizes of what it
# tells and of the hashes, which follow.
_FRAME = struct.Struct("=QQ?QQ")
_LAST = 0xFFFFFFFFFFFFFFFF


@dataclass(frozen=True, slots=True)
class Database:
    """An open database: `bolt` over `data`, named `name` in messages. `helped`: a child process may be forked."""

    bolt: BoltFile
    data: Sliceable
    name: str
    standing: Standing
    helped: bool = False


def live_values(database: Database, prefix: bytes, revision: int) -> Generator[Packed]:
    """Yield the values under `prefix` that are live at `revision`, newest first.

    Raises `UnusableInputError` for a damaged record, and at the end when the
    records contradict the compaction that the file tells of: what was delivered
    is then not to be counted.
    """
    found = _Found(database, _reader(database, prefix, revision, past=False))
    yield from _batches(found)
    repeated = found.hashes.repeated()
    if not repeated:
        return
    key = twice(_reader(database, prefix, revision, past=False).finds(), repeated)
    if key is not None:
        raise UnusableInputError(
            f"{database.name} is not consistent",
            cause=f"key {display(key)} has two records, and by the last compaction it has one",
            hint="use another copy; or let etcd open and compact this one, and take a snapshot from it",
        )


def past_values(database: Database, prefix: bytes, revision: int) -> Generator[Packed]:
    """Yield every other value under `prefix`, in the same order: overwritten, deleted, or newer than `revision`."""
    yield from _batches(_Found(database, _reader(database, prefix, revision, past=True)))


def _reader(database: Database, prefix: bytes, revision: int, *, past: bool) -> Reader:
    return Reader(database.bolt, database.name, database.standing, prefix, revision, past=past)


def _batches(finds: Iterable[Find]) -> Generator[Packed]:
    stretches: list[tuple[bytes, bytes]] = []
    held = read = 0
    for find in finds:
        found = find.places()
        for start in range(0, len(found), _BATCH_PLACES):
            places = found[start : start + _BATCH_PLACES]
            stretches.append((find.content, places))
            held, read = held + len(places), read + len(find.content)
            if held >= _BATCH_PLACES or read >= _BATCH_BYTES:
                yield Packed(tuple(stretches))
                stretches.clear()
                held = read = 0
    if stretches:
        yield Packed(tuple(stretches))


class _Found:
    """What `reader` finds; `hashes` are those of the keys that were delivered."""

    def __init__(self, database: Database, reader: Reader) -> None:
        self._database, self._reader = database, reader
        self.hashes = KeyHashes()

    def __iter__(self) -> Generator[Find]:
        if self._database.helped:
            with forked(self._tell) as answer:
                yield from self._noted(self._heard(answer))
        else:
            yield from self._noted(self._reader.finds())

    def _noted(self, finds: Iterable[Find]) -> Generator[Find]:
        for find in finds:
            self.hashes.note(find.hashes)
            yield find

    def _tell(self, answer: BinaryIO) -> None:
        """In the child: write all that is found, and at the end, or where it cannot go on, what there is to say."""
        said: dict[str, object] = {}
        try:
            for find in self._reader.finds():
                if find.told:
                    sizes = len(find.told), len(find.hashes)
                    head = _FRAME.pack(find.offset, len(find.content), find.usual, *sizes)
                    answer.write(head + find.told + find.hashes)
        except UnusableInputError as error:
            said = {"message": str(error), "cause": error.cause, "hints": error.hints}
        raw = json.dumps(said).encode()
        answer.write(_FRAME.pack(_LAST, 0, False, len(raw), 0) + raw)

    def _heard(self, answer: BinaryIO) -> Generator[Find]:
        while len(frame := answer.read(_FRAME.size)) == _FRAME.size:
            offset, size, usual, told_size, hashes_size = _FRAME.unpack(frame)
            told, hashes = answer.read(told_size), answer.read(hashes_size)
            if offset == _LAST:
                said = json.loads(told)
                if said:
                    raise UnusableInputError(said["message"], cause=said["cause"], hint=tuple(said["hints"]))
                return
            content = self._database.data[offset : offset + size]
            if len(content) < size or len(told) < told_size or len(hashes) < hashes_size:
                break
            yield Find(offset, content, told, usual, hashes)
        raise UnusableInputError(
            f"{self._database.name} was not read to its end",
            cause="it became shorter, or the process that read it was ended",
            hint="read it again",
        )
