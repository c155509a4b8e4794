"""A `FileSource` over a snapshot file: what the cluster held, and what it had left behind. Reads only."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from keyctl.errors import UnusableInputError, WrongUsageError
from keyctl.etcd_files.bbolt import BoltFile
from keyctl.etcd_files.database_file import opened
from keyctl.etcd_files.delivery import Database, live_values, past_values
from keyctl.etcd_files.forked import is_worth_it
from keyctl.etcd_files.mvcc import Standing, read_standing
from keyctl.etcd_files.remarks import Remarks
from keyctl.etcd_files.residue import free_page_fragments, in_batches
from keyctl.etcd_files.snapshot_file import digest_checked, extent
from keyctl.stored.source import Area, Batch, Coverage, Fragment, Remark, SourceInfo


@dataclass(frozen=True, slots=True)
class Reading:
    """An open database. `check` raises `UnusableInputError` when what was read so far may not be of one state.

    `finish` checks that, too, once all is read, and returns the integrity. `state` is equal for readings of one state.
    """

    database: Database
    fragments: Callable[[Remarks], Iterator[Fragment]]
    check: Callable[[], None]
    finish: Callable[[], str]
    state: tuple[int, ...]


class DatabaseSource(ABC):
    """What every database on disk can tell. `revision` 0 is the newest; the cluster's id is not in such a file.

    A pinned revision that the file does not hold is a `WrongUsageError`, damage
    an `UnusableInputError`, at any item and at the latest at the end.
    """

    _type: ClassVar[str]
    _still: ClassVar[str]
    _areas: ClassVar[frozenset[Area]]

    def __init__(self, path: Path, revision: int = 0) -> None:
        self._path, self._revision = path, revision
        self._info: SourceInfo | None = None
        self._scanned: set[Area] = set()
        self._remarks: tuple[Remark, ...] = ()
        self._state: tuple[int, ...] | None = None

    @abstractmethod
    def reading(self) -> AbstractContextManager[Reading]:
        """Open the database, for whoever wants more of it than its values; nothing counts before `finish`."""

    def batches(self, prefix: bytes) -> Iterator[Batch]:
        """Yield the values whose key starts with `prefix`, newest first."""
        self._info = self._state = None
        count = 0
        with self._same() as reading:
            revision = self._pinned(reading.database.standing)
            for batch in live_values(reading.database, prefix, revision):
                count += len(batch)
                yield batch
                reading.check()
            integrity = reading.finish()
        self._scanned.add(Area.LIVE)
        self._info = SourceInfo(self._type, str(self._path), revision, "", count, integrity)

    def info(self) -> SourceInfo:
        """What the last complete run of `batches` read. `RuntimeError` before that."""
        if self._info is None:
            raise RuntimeError("nothing was read to its end yet")
        return self._info

    def history(self, prefix: bytes) -> Iterator[Batch]:
        """Yield every retained value under `prefix` that is not live at the revision that is read."""
        with self._same() as reading:
            revision = self._pinned(reading.database.standing)
            for batch in past_values(reading.database, prefix, revision):
                yield batch
                reading.check()
            reading.finish()
        self._scanned.add(Area.HISTORY)

    def fragments(self) -> Iterator[list[Fragment]]:
        """Yield what lies outside of the records, each content once an area."""
        remarks = Remarks()
        with self._same() as reading:
            if reading.database.bolt.meta.other_damaged:
                remarks.say(
                    Area.LIVE, "one of the two meta pages is damaged: this is what the other one, perhaps older, says"
                )
            for batch in in_batches(reading.fragments(remarks)):
                yield batch
                reading.check()
            reading.finish()
        looked_at = self._areas - {Area.LIVE, Area.HISTORY}
        self._scanned = self._scanned - looked_at | looked_at - remarks.unread
        self._remarks = tuple(remarks.said)

    def remarks(self) -> tuple[Remark, ...]:
        """What the last run of `fragments` met that is no value."""
        return self._remarks

    def coverage(self) -> Mapping[Area, Coverage]:
        """What this source has, and what of it was read to its end so far."""
        has = {area: Coverage.NOT_SCANNED if area in self._areas else Coverage.ABSENT for area in Area}
        return has | dict.fromkeys(self._scanned, Coverage.SCANNED)

    @contextmanager
    def _same(self) -> Generator[Reading]:
        """Open the database, which must be as it was for the live values: what is found is counted together."""
        with self.reading() as reading:
            if self._state is None:
                self._state = reading.state
            elif self._state != reading.state:
                raise UnusableInputError(
                    f"{reading.database.name} changed while it was read",
                    cause="it is not what it was when its live values were read",
                    hint=self._still,
                )
            yield reading

    def _pinned(self, standing: Standing) -> int:
        if not self._revision:
            return standing.current
        oldest, newest = max(standing.readable_from, 1), standing.current
        if oldest <= self._revision <= newest:
            return self._revision
        what = "was compacted away" if self._revision < oldest else "is newer than the newest"
        raise WrongUsageError(
            f"revision {self._revision} of {self._path} {what}",
            cause=f"it holds revisions {oldest} to {newest}",
            hint="name one of these, or none for the newest",
        )


class SnapshotSource(DatabaseSource):
    """What a snapshot holds; a database file copied from a disk is one without a SHA-256.

    The SHA-256 is checked while the values are read: it is at the end that they are told to be sound.
    """

    _type = "snapshot"
    _still = "wait until it is complete, and read it again"
    _areas = frozenset({Area.LIVE, Area.HISTORY, Area.FREE_PAGES})

    @contextmanager
    def reading(self) -> Generator[Reading]:
        """See `DatabaseSource.reading`."""
        name = str(self._path)
        with opened(self._path) as file:

            def check() -> None:
                if what := file.changed():
                    raise UnusableInputError(
                        f"{name} changed while it was read",
                        cause=what,
                        hint=self._still,
                    )

            def finish() -> str:
                integrity = integrity_of()
                check()
                return integrity

            try:
                found = extent(file)
                with digest_checked(file, found) as integrity_of:
                    bolt = BoltFile(file, found.length, name)
                    standing = read_standing(bolt, name)
                    database = Database(bolt, file, name, standing, helped=is_worth_it(found.length))

                    def fragments(remarks: Remarks) -> Iterator[Fragment]:
                        return free_page_fragments(database, found.length, remarks, proven=found.has_digest)

                    yield Reading(database, fragments, lambda: None, finish, tuple(file.state))
            except UnusableInputError:
                # NOTE: a file that is being replaced is not damaged, and looks so.
                check()
                raise
