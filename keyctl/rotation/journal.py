"""The journal of one cluster's rotations: intent, synced, before each effect; outcome after (rule R17).

Append-only JSON lines, 0600. The state is derived from observation; the journal
tells which plan is under way and is a record for people. It holds no key bytes.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import IO

from keyctl.errors import RefusedError, UnusableInputError

Record = dict[str, object]


def as_record(kind: str, at: datetime, fields: Mapping[str, object]) -> Record:
    """A record as `Journal.append` writes it."""
    return {"at": at.isoformat(timespec="milliseconds"), "kind": kind, **fields}


class Journal:
    """`<directory>/journal.jsonl`, to be opened by one process at a time (`locked`)."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "journal.jsonl"

    @property
    def path(self) -> Path:
        """Where the journal is."""
        return self._path

    def append(self, kind: str, at: datetime, fields: Mapping[str, object]) -> None:
        """Write one record and sync it to disk before returning."""
        line = json.dumps(as_record(kind, at, fields), ensure_ascii=True)
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            # NOTE: a crash can leave a torn last line; starting on a line of our own keeps this record whole.
            torn = os.fstat(descriptor).st_size > 0 and not self._path.read_bytes().endswith(b"\n")
            left = memoryview((("\n" if torn else "") + line + "\n").encode())
            while left:
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._sync_directory()

    def _sync_directory(self) -> None:
        """A new file that its directory does not know yet is gone after a power cut."""
        descriptor = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def records(self) -> tuple[Record, ...]:
        """Every whole record, oldest first; torn lines are left out, for their effect was never begun.

        Raises `UnusableInputError` for a line that no crash leaves: what is under way cannot be told without it.
        """
        try:
            lines = self._path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return ()
        except OSError as exc:
            raise UnusableInputError(f"cannot read the journal {self._path}", cause=exc.strerror) from exc
        found = []
        for number, line in enumerate(lines, 1):
            if not line.isascii():
                raise self._damaged(number)
            try:
                record = json.loads(line.decode("ascii"))
            except ValueError:
                continue
            if not isinstance(record, dict) or not isinstance(record.get("kind"), str):
                raise self._damaged(number)
            found.append(record)
        return tuple(found)

    def _damaged(self, number: int) -> UnusableInputError:
        return UnusableInputError(
            f"the journal {self._path} is damaged",
            cause=f"line {number} is no record of keyctl's",
            hint=("put back a copy of it", "without one, move it away and see where the cluster stands: keyctl doctor"),
        )

    def of(self, rotation: str) -> tuple[Record, ...]:
        """Every whole record of one rotation, oldest first, from before its plan was made."""
        return tuple(record for record in self.records() if record.get("rotation") == rotation)

    def unfinished(self) -> tuple[Record, ...]:
        """The records of the rotation that was begun and not ended; empty when there is none."""
        open_records: list[Record] = []
        for record in self.records():
            if record["kind"] == "begin":
                open_records = [record]
            elif record["kind"] == "end":
                open_records = []
            elif open_records:
                open_records.append(record)
        return tuple(open_records)


class LocalLock:
    """One keyctl at a time for a cluster on this machine (rule R8). The kernel gives it back when the process dies."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "lock"
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take it, or raise `RefusedError` (R8)."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        self._file = os.fdopen(descriptor, "r+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            self._file.close()
            self._file = None
            raise RefusedError(
                "another keyctl is changing this cluster's key",
                cause=f"{self._path} is locked",
                hint="wait for it to end; it goes on by itself",
                rule="R8",
            ) from exc

    def release(self) -> None:
        """Give it back."""
        if self._file is not None:
            self._file.close()
            self._file = None
