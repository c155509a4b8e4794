"""What etcd's write-ahead log still holds: every value that was written since the oldest file of it. No verdicts here.

The log keeps values in the clear bytes in which they were sent, also after the
database was compacted and defragmented, until etcd removes the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from keyctl.errors import UnusableInputError
from keyctl.etcd_files.distinct import Distinct
from keyctl.etcd_files.markers import search
from keyctl.etcd_files.opaque import is_understood
from keyctl.etcd_files.open_file import OpenFile, is_compressed, regular_files
from keyctl.etcd_files.wal_records import Chain, Kind, LogRecord, Tail, damaged, log_records
from keyctl.etcd_files.wal_requests import entry, values
from keyctl.stored.protobuf import LENGTH_DELIMITED, DamagedError, fields, varint
from keyctl.stored.source import Area, Fragment

_NAME = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})\.wal")
_TRIES = 5
_REQUEST = 0
_SNAPSHOT_INDEX = 1


@dataclass(frozen=True, slots=True)
class LogSummary:
    """What a log consists of.

    `values` were found in `entries`; `without_values` entries are of another
    kind, and `unread` ones of a kind that is not known: they were searched.
    `cut` names where the last record was not written to its end, `compressed`
    the files in the log's folder that nobody looked into, `opaque` those in which
    something looks compressed or encrypted that is no value.
    """

    files: int
    entries: int
    values: int
    without_values: int
    unread: int
    cut: str | None
    compressed: tuple[str, ...] = ()
    opaque: tuple[str, ...] = ()


class LogReader:
    """The log in `folder` (a member's `wal`), read once by `fragments`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known = Distinct()
        self._entries = self._values = self._without = self._unread = 0
        self._last_index: int | None = None
        self._cut: str | None = None
        self._summary: LogSummary | None = None

    def fragments(self) -> Iterator[Fragment]:
        """Yield every value of the log once, and what else in its files begins like one.

        Raises `UnusableInputError` when a file cannot be read, is damaged, or is missing between others.
        """
        chain = Chain()
        with ExitStack() as stack:
            logs, others = self._open(stack)
            for file in logs:
                yield from self._file(file, chain, last=file is logs[-1])
            closed = [file for file in others if is_compressed(file)]
            for file in others:
                yield from () if file in closed else self._searched(file, 0)
            opaque = tuple(file.path.name for file in others if file not in closed and not is_understood(file))
        names = tuple(file.path.name for file in closed)
        counts = self._entries, self._values, self._without, self._unread
        self._summary = LogSummary(len(logs), *counts, self._cut, names, opaque)

    def summary(self) -> LogSummary:
        """What was read. `RuntimeError` before `fragments` came to its end."""
        if self._summary is None:
            raise RuntimeError("the log was not read to its end yet")
        return self._summary

    def _open(self, stack: ExitStack) -> tuple[list[OpenFile], list[OpenFile]]:
        """The files of the log in order, and the other files of the folder.

        All are opened before one is read: etcd may remove the oldest at any time.
        """
        for _ in range(_TRIES):
            paths = regular_files(self._folder)
            with ExitStack() as attempt:
                try:
                    files = [attempt.enter_context(OpenFile(path)) for path in paths]
                except FileNotFoundError:
                    continue
                stack.enter_context(attempt.pop_all())
            logs = [file for file in files if _NAME.fullmatch(file.path.name)]
            self._check_sequence(logs)
            return logs, [file for file in files if file not in logs]
        raise UnusableInputError(f"{self._folder} changes while it is read", hint="try again")

    def _check_sequence(self, logs: list[OpenFile]) -> None:
        numbers = [int(file.path.name[:16], 16) for file in logs]
        for before, after, file in zip(numbers, numbers[1:], logs[1:], strict=False):
            if after != before + 1:
                raise UnusableInputError(
                    f"{self._folder} is not whole",
                    cause=f"file {after:x} of the log ({file.path.name}) follows file {before:x}",
                    hint="copy the whole folder again",
                )

    def _file(self, file: OpenFile, chain: Chain, *, last: bool) -> Iterator[Fragment]:
        for record in log_records(file, chain, last=last):
            if isinstance(record, Tail):
                self._cut = f"{file.path.name} offset {record.offset}" if record.cut else None
                yield from self._searched(file, record.offset)
            elif record.kind is Kind.ENTRY:
                yield from self._entry(file, record)
            elif record.kind is Kind.SNAPSHOT:
                self._snapshot(file, record)

    def _entry(self, file: OpenFile, record: LogRecord) -> Iterator[Fragment]:
        self._entries += 1
        place = f"{file.path.name} offset {record.offset}"
        try:
            index, kind, request = entry(record.data)
        except DamagedError:
            raise damaged(file, record.offset, "its bytes are no entry") from None
        if self._last_index is not None and index > self._last_index + 1:
            raise damaged(file, record.offset, f"entry {index} follows entry {self._last_index}")
        self._last_index = index
        try:
            pairs = values(request) if kind == _REQUEST else []
        except DamagedError:
            self._unread += 1
            for found in search(request, 0, len(request), self._known):
                yield Fragment(Area.WAL, place, None, None, found.value, whole=False)
            return
        self._values += len(pairs)
        self._without += not pairs
        for key, value in pairs:
            if self._known.add(b"%d:" % len(key) + key + value):
                yield Fragment(Area.WAL, place, key, None, value, whole=True)

    def _snapshot(self, file: OpenFile, record: LogRecord) -> None:
        """A member that was far behind got a snapshot: the entries go on after it."""
        try:
            for number, wire, start, end in fields(record.data, 0, len(record.data)):
                if number == _SNAPSHOT_INDEX and wire != LENGTH_DELIMITED and self._last_index is not None:
                    self._last_index = max(self._last_index, varint(record.data, start, end)[0])
        except DamagedError:
            raise damaged(file, record.offset, "its bytes name no snapshot") from None

    def _searched(self, file: OpenFile, start: int) -> Iterator[Fragment]:
        """What the bytes from `start` on hold: zeros, the rest of a record, or a file that etcd put aside."""
        for found in search(file, start, file.size, self._known):
            place = f"{file.path.name} offset {found.offset}"
            yield Fragment(Area.WAL, place, found.key, found.revision, found.value, found.whole)
