"""A `FileSource` over etcd's data directory, of a member that stands still or runs. Reads only, and takes no lock.

bbolt writes a changed page to another place, and overwrites the pages of a
state only after the next state was committed. So all that was read is of one
state when the meta pages still show this state afterwards: a member that
commits in between is refused.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from keyctl.errors import UnusableInputError
from keyctl.etcd_files.bbolt import BoltFile
from keyctl.etcd_files.bbolt_meta import Meta, newest_meta
from keyctl.etcd_files.database_file import DatabaseFile, opened
from keyctl.etcd_files.delivery import Database
from keyctl.etcd_files.forked import is_worth_it
from keyctl.etcd_files.mvcc import read_standing
from keyctl.etcd_files.opaque import not_understood
from keyctl.etcd_files.other_files import other_fragments
from keyctl.etcd_files.remarks import Remarks
from keyctl.etcd_files.residue import free_page_fragments
from keyctl.etcd_files.snapshot_file import SHA256_ABSENT
from keyctl.etcd_files.source import DatabaseSource, Reading
from keyctl.etcd_files.wal import LogReader
from keyctl.stored.source import Area, Fragment

_DATABASES = (Path("member/snap/db"), Path("snap/db"))
_LIVE_HINT = "stop this member first, or take a snapshot from it and read that"


class DataDirSource(DatabaseSource):
    """What a data directory (etcd's --data-dir, or its `member`) holds: database, log, and what lies beside them."""

    _type = "data-dir"
    _still = _LIVE_HINT
    _areas = frozenset(Area)

    @contextmanager
    def reading(self) -> Generator[Reading]:
        """See `DatabaseSource.reading`."""
        path = database_of(self._path)
        name = str(path)
        with opened(path) as file:
            bolt = BoltFile(file, file.size, name)

            def fragments(remarks: Remarks) -> Iterator[Fragment]:
                log = path.parent.parent / "wal"
                yield from free_page_fragments(database, file.size, remarks, proven=False)
                yield from other_fragments(self._path, path, log, remarks)
                yield from _log_fragments(log, remarks)

            def check() -> None:
                _require_unchanged(file, bolt.meta, name)

            def finish() -> str:
                check()
                return SHA256_ABSENT

            try:
                database = Database(bolt, file, name, read_standing(bolt, name), helped=is_worth_it(file.size))
                yield Reading(database, fragments, check, finish, (*file.state[:2], bolt.meta.txid))
            except UnusableInputError:
                check()
                raise


def _log_fragments(log: Path, remarks: Remarks) -> Iterator[Fragment]:
    """What the log holds. Where it is kept elsewhere (--wal-dir), or is empty, it is not looked at."""
    if not log.is_dir():
        remarks.say(Area.WAL, "the log is not in this directory (etcd's --wal-dir)", unread=True)
        return
    reader = LogReader(log)
    yield from reader.fragments()
    summary = reader.summary()
    # Every member's log has entries: one without is a copy that failed, or not the log.
    if not summary.entries:
        remarks.say(Area.WAL, "the log has no entries", unread=True)
    if summary.cut:
        remarks.say(Area.WAL, f"its last record, at {summary.cut}, was not written to its end: searched as it is")
    if summary.unread:
        remarks.say(Area.WAL, f"{summary.unread} of {summary.entries} entries are of an unknown kind: only searched")
    for name in summary.compressed:
        remarks.say(Area.WAL, f"{name} is compressed: not looked at", unread=True)
    for name in summary.opaque:
        remarks.say(Area.WAL, not_understood(name), unread=True)


def database_of(directory: Path) -> Path:
    """The database in a data directory. Raises `UnusableInputError` when there is none."""
    try:
        if not directory.is_dir():
            directory.stat()
            raise UnusableInputError(f"{directory} is no directory", hint="name etcd's --data-dir")
        for database in _DATABASES:
            if (directory / database).is_file():
                return directory / database
    except OSError as error:
        raise UnusableInputError(f"{directory} cannot be read", cause=error.strerror) from error
    raise UnusableInputError(
        f"{directory} is no data directory of etcd", cause=f"it has no {_DATABASES[0]}", hint="name etcd's --data-dir"
    )


def _require_unchanged(file: DatabaseFile, meta: Meta, name: str) -> None:
    """Raise when another state was committed since `meta` was read, or the file is no longer the member's."""
    file.forget()
    now = newest_meta(file, file.size, name)
    what = file.moved() if now.txid == meta.txid else f"its transaction {meta.txid} became {now.txid}"
    if what:
        raise UnusableInputError(f"etcd writes to {name} while it is read", cause=what, hint=_LIVE_HINT)
