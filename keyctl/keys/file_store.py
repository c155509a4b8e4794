"""A key store in a directory: one immutable file a key, and beside them the ledger and the register of backups.

Order of every `put`: key file, read back, fingerprint, ledger line. A key file
that no ledger line names is a `put` that was cut off; whoever opens the store
next finishes it. Order of `destroy`: ledger line, then the erasure; bytes that
the ledger calls destroyed are erased by whoever opens the store next, so a
reader sees a whole key or none. Ledger and register (`ledger.jsonl`,
`backups.jsonl`) are only appended to. Everything is 0600 in a 0700 directory from its creation on,
and a store that others can read is refused, not repaired. Key bytes never reach
a message: decoding errors are raised without the text they are about.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from keyctl.errors import UnreachableError, UnusableInputError
from keyctl.keys import backups, ledger, private_files
from keyctl.keys.backups import Backup
from keyctl.keys.key import Key, KeyRef, Provider
from keyctl.keys.ledger import KeyRecord, KeyState, Moment

_FORMAT = "keyctl/key/v1"
_LEDGER = "ledger.jsonl"
_BACKUPS = "backups.jsonl"
_LOCK = ".lock"
_TEMPORARY = ".keyctl-"
_KEY_SUFFIX = ".key.json"
_LONGEST_NAME = 180


@dataclass(frozen=True, slots=True)
class _Entry:
    """A key file as read."""

    key: Key
    origin: str
    created: str


class FileKeyStore:
    """The keys of `cluster` under `directory`. `clock` gives the time that the ledger notes.

    Nothing is created before the first `put` or `note_backup`. One that is `only_read` writes nothing at all: what an
    earlier run left half-done stays as it is, and everything that would change the store is a `RuntimeError`.
    """

    def __init__(
        self, directory: Path, *, cluster: str, clock: Callable[[], datetime], only_read: bool = False
    ) -> None:
        self._directory = directory
        self._cluster = cluster
        self._clock = clock
        self._only_read = only_read

    @property
    def location(self) -> str:
        """The directory."""
        return str(self._directory)

    def put(self, key: Key, *, origin: str) -> KeyRecord:
        """See `KeyStore.put`."""
        with self._changing():
            private_files.create_directories(self._directory)
            with self._opened() as records:
                record = ledger.admit(records, key, origin=origin, at=self._now())
                if not self._path(key.ref).exists():
                    self._write_entry(_Entry(key, record.origin, record.created))
                self._read_back(record)
                if record not in records:
                    self._append(record)
                return record

    def get(self, ref: KeyRef) -> Key | None:
        """See `KeyStore.get`."""
        with self._medium():
            if not self._directory.exists():
                return None
            with self._opened() as records:
                record = ledger.find(records, ref)
                return self._read_back(record) if record and record.state is not KeyState.DESTROYED else None

    def records(self) -> tuple[KeyRecord, ...]:
        """See `KeyStore.records`."""
        with self._medium():
            if not self._directory.exists():
                return ()
            with self._opened() as records:
                return records

    def note_state(self, ref: KeyRef, state: str) -> KeyRecord:
        """See `KeyStore.note_state`. Raises `UnusableInputError` when the store has no such key."""
        with self._known(ref) as record:
            return self._change(record, state)

    def note_writes(self, ref: KeyRef, *, first: Moment | None = None, last: Moment | None = None) -> KeyRecord:
        """See `KeyStore.note_writes`. Raises `UnusableInputError` when the store has no such key."""
        with self._known(ref) as record:
            changed = ledger.wrote(record, first=first, last=last)
            self._append_all(ledger.write_lines(record, changed, cluster=self._cluster))
            return changed

    def restore(self, record: KeyRecord, key: Key | None) -> KeyRecord:
        """See `KeyStore.restore`."""
        if key is None and record.state is not KeyState.DESTROYED:
            raise ValueError("only a destroyed key is restored without its bytes")
        with self._changing():
            private_files.create_directories(self._directory)
            with self._opened() as records:
                missing = ledger.lines(ledger.find(records, record.ref), record, cluster=self._cluster)
                if key is not None:
                    if not self._path(key.ref).exists():
                        self._write_entry(_Entry(key, record.origin, record.created))
                    self._read_back(record)
                self._append_all(missing)
                return record

    def destroy(self, ref: KeyRef, *, judged: Collection[Backup] = ()) -> KeyRecord:
        """See `KeyStore.destroy`; no-op for a destroyed key. Raises `UnusableInputError` for an unknown one."""
        with self._known(ref) as record:
            backups.require_judged(self._registered(), record, judged)
            return self._change(record, KeyState.DESTROYED)

    def note_backup(self, backup: Backup) -> None:
        """See `KeyStore.note_backup`."""
        with self._changing():
            private_files.create_directories(self._directory)
            with self._opened():
                known = self._registered()
                noted = backups.succeed(known, backup)
                if noted not in known:
                    line = backups.noted_line(noted, cluster=self._cluster)
                    private_files.append(self._directory / _BACKUPS, line)

    def forget_backup(self, location: str) -> None:
        """See `KeyStore.forget_backup`."""
        with self._changing():
            if self._directory.exists():
                with self._opened():
                    if any(one.location == location for one in self._registered()):
                        line = backups.forgotten_line(location, at=self._now(), cluster=self._cluster)
                        private_files.append(self._directory / _BACKUPS, line)
                        return
            raise backups.unknown(location, str(self._directory))

    def backups(self) -> tuple[Backup, ...]:
        """See `KeyStore.backups`."""
        with self._medium():
            if not self._directory.exists():
                return ()
            with self._opened():
                return self._registered()

    @contextmanager
    def _known(self, ref: KeyRef) -> Iterator[KeyRecord]:
        """The record of `ref`, to be changed. Raises `UnusableInputError` when there is none."""
        with self._changing():
            if self._directory.exists():
                with self._opened() as records:
                    record = ledger.find(records, ref)
                    if record:
                        yield record
                        return
            raise UnusableInputError(
                f"there is no key {ref} in the key store {self._directory}",
                hint="check keys.directory in the cluster file",
            )

    @contextmanager
    def _changing(self) -> Iterator[None]:
        if self._only_read:
            raise RuntimeError("this key store was opened to be read only")
        with self._medium():
            yield

    @contextmanager
    def _medium(self) -> Iterator[None]:
        """Turn what the file system says into our own error."""
        try:
            yield
        except OSError as error:
            raise UnreachableError(
                f"the key store {self._directory} cannot be used",
                cause=f"{error.strerror or type(error).__name__}: {error.filename or self._directory}",
                hint="check that the file system is mounted, writable and has free space",
            ) from error

    @contextmanager
    def _opened(self) -> Iterator[tuple[KeyRecord, ...]]:
        """Hold the store's lock; finish what an earlier run left half-done; give the ledger's records."""
        private_files.require_private(self._directory)
        if self._only_read:
            with private_files.unchanged(self._directory / _LOCK):
                records = self._replay()
                yield (*records, *self._unrecorded(records))
            return
        with private_files.locked(self._directory / _LOCK):
            for leftover in self._directory.glob(f"{_TEMPORARY}*"):
                leftover.unlink()
            records = self._replay()
            self._erase_destroyed(records)
            yield (*records, *self._adopted(records))

    def _replay(self) -> tuple[KeyRecord, ...]:
        path = self._directory / _LEDGER
        lines = private_files.read_lines(path, repair=not self._only_read)
        return ledger.replay(lines, cluster=self._cluster, name=str(path))

    def _registered(self) -> tuple[Backup, ...]:
        path = self._directory / _BACKUPS
        lines = private_files.read_lines(path, repair=not self._only_read)
        return backups.replay(lines, cluster=self._cluster, name=str(path))

    def _erase_destroyed(self, records: tuple[KeyRecord, ...]) -> None:
        """Erase what the ledger calls destroyed and is still there."""
        for record in records:
            path = self._path(record.ref)
            if record.state is KeyState.DESTROYED and path.exists():
                private_files.erase(path)

    def _adopted(self, records: tuple[KeyRecord, ...]) -> tuple[KeyRecord, ...]:
        """Record the key files whose `put` did not reach the ledger."""
        adopted = self._unrecorded(records)
        for record in adopted:
            self._append(record)
        return adopted

    def _unrecorded(self, records: tuple[KeyRecord, ...]) -> tuple[KeyRecord, ...]:
        """What the ledger would say of the key files that it does not know."""
        known = {self._path(record.ref) for record in records}
        entries = map(self._read_entry, sorted(set(self._directory.glob(f"*{_KEY_SUFFIX}")) - known))
        return tuple(ledger.admit((), entry.key, origin=entry.origin, at=entry.created) for entry in entries)

    def _change(self, record: KeyRecord, state: str) -> KeyRecord:
        changed = ledger.change(record, state, at=self._now())
        if changed != record:
            self._append(changed)
            self._erase_destroyed((changed,))
        return changed

    def _append(self, record: KeyRecord) -> None:
        private_files.append(self._directory / _LEDGER, ledger.to_line(record, cluster=self._cluster))

    def _append_all(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            private_files.append(self._directory / _LEDGER, line)

    def _path(self, ref: KeyRef) -> Path:
        """Where the key file of `ref` is: readable names stay readable, the others become safe ones."""
        name = quote(ref.name, safe="")
        if len(name) > _LONGEST_NAME:
            name = "sha256-" + hashlib.sha256(ref.name.encode()).hexdigest()
        return self._directory / f"{ref.provider}.{name}{_KEY_SUFFIX}"

    def _write_entry(self, entry: _Entry) -> None:
        """Put a complete, synced key file under its name; never over another one."""
        fields = {
            "format": _FORMAT,
            "cluster": self._cluster,
            "provider": entry.key.provider,
            "name": entry.key.name,
            "material": base64.b64encode(entry.key.material).decode(),
            "fingerprint": entry.key.fingerprint,
            "origin": entry.origin,
            "created": entry.created,
        }
        temporary = self._directory / f"{_TEMPORARY}{secrets.token_hex(8)}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            private_files.write_and_close(descriptor, json.dumps(fields, indent=1).encode() + b"\n")
            # A link, not a rename: it fails where a file of that name is, whoever put it there.
            os.link(temporary, self._path(entry.key.ref))
        finally:
            temporary.unlink()
        private_files.sync_directory(self._directory)

    def _read_back(self, record: KeyRecord) -> Key:
        """The key of `record`, equal in name and fingerprint."""
        path = self._path(record.ref)
        try:
            entry = self._read_entry(path)
        except FileNotFoundError:
            raise UnusableInputError(
                f"the key file {path} is missing",
                cause=f"the ledger lists key {record.ref} as {record.state}",
                hint="restore the key directory from its backup",
            ) from None
        if entry.key.fingerprint != record.fingerprint:
            raise _damaged(path, "it holds another key than the one in the ledger")
        return entry.key

    def _read_entry(self, path: Path) -> _Entry:
        content = private_files.read(path)
        try:
            fields = json.loads(content)
            cluster, fingerprint = fields["cluster"], fields["fingerprint"]
            entry = _entry(fields)
        except (ValueError, KeyError, TypeError, UnusableInputError):
            # NOTE: `from None`: a decoding error carries the text it failed on, and that is the key.
            raise _damaged(path, "it is not a whole key file") from None
        if cluster != self._cluster:
            raise UnusableInputError(
                f'{path}: this key belongs to cluster "{cluster}", not "{self._cluster}"',
                hint="give each cluster its own keys.directory",
            )
        if path != self._path(entry.key.ref):
            raise _damaged(path, f"it holds key {entry.key.ref}, which has a file of its own")
        if entry.key.fingerprint != fingerprint:
            raise _damaged(path, "its key does not have the fingerprint that stands beside it")
        return entry

    def _now(self) -> str:
        return self._clock().astimezone(UTC).isoformat()


def _entry(fields: dict[str, str]) -> _Entry:
    """The entry that the decoded `fields` of a key file stand for."""
    if fields["format"] != _FORMAT or not all(isinstance(value, str) for value in fields.values()):
        raise ValueError("the file has another format")
    material = base64.b64decode(fields["material"], validate=True)
    key = Key(Provider(fields["provider"]), fields["name"], material)
    return _Entry(key, ledger.Origin(fields["origin"]), datetime.fromisoformat(fields["created"]).isoformat())


def _damaged(path: Path, cause: str) -> UnusableInputError:
    return UnusableInputError(
        f"the key file {path} is damaged", cause=cause, hint="restore the key directory from its backup"
    )
