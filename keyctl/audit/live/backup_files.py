"""Directories of backups → facts: every snapshot below them, and every raw key that lies beside one.

Reads what lies there and changes nothing. How a snapshot is read is somebody else's (`ReadSnapshot`). What cannot be
looked into is said: a backup that nobody looked at is not a good one.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from keyctl.audit.facts import About, Configuration, Placed, Unread
from keyctl.audit.inputs import InputFile
from keyctl.audit.live.backups import BackupPlace, Content, RawKey, Snapshot
from keyctl.audit.sources.read import read
from keyctl.audit.sources.text import Text
from keyctl.encryption_config import effective
from keyctl.errors import RefusedError, StoppedError, UnusableInputError
from keyctl.etcd_files.open_file import OpenFile, is_compressed
from keyctl.findings import Evidence, Location
from keyctl.keys.key import Key, Provider
from keyctl.stored.display import display

# No file with keys is larger.
_LARGEST_TEXT = 1024 * 1024
_DATABASE_AT, _DATABASE = 16, b"\xed\xda\x0c\xed"
# etcdctl and keyctl write into a file of this name until it is whole.
_PARTIAL = ".part"
# What age has encrypted; it is a snapshot where the manifest of one lies beside it, by this name.
_SEALED, _MANIFEST = b"age-encryption.org/v1\n", ".keyctl.json"
_NAMED_SO = re.compile(r"snap|backup|etcd|\.db\b", re.IGNORECASE)
_KEY_FORMAT = "keyctl/key/v1"


@dataclass(frozen=True, slots=True)
class SnapshotRead:
    """What reading one file came to; the fields are those of `Snapshot`."""

    sha256: str = ""
    wrong: tuple[str, ...] = ()
    manifest: bool = False
    saved: datetime | None = None
    renewed: datetime | None = None
    content: Content | None = None
    closed: bool = False


# Reads a snapshot, opening its values with these keys. Damage is an answer, and no exception.
ReadSnapshot = Callable[[Path, Sequence[Key]], SnapshotRead]


@dataclass(slots=True)
class _Found:
    """What one directory holds, before any snapshot is read. `again` are snapshots that another one had before."""

    snapshots: list[Path] = field(default_factory=list)
    again: int = 0
    keys: list[Key] = field(default_factory=list)
    facts: list[Placed] = field(default_factory=list)


def look_through(
    directories: Sequence[Path], read_snapshot: ReadSnapshot, *, keys: Sequence[Key], now: datetime
) -> Iterator[Placed]:
    """Everything that lies below `directories`; values are opened with `keys`, and with those that lie beside them.

    Raises `UnusableInputError` for one that is no directory.
    """
    known: dict[tuple[int, int], bool] = {}
    for directory in directories:
        # Path.is_dir raises where one may not look.
        if not os.path.isdir(directory):  # noqa: PTH112
            raise UnusableInputError(
                f"{display(str(directory))} is no directory of backups", hint="name a directory that is there"
            )
        found = _Found()
        for path in _files(directory, found):
            _sort(path, directory, found, known)
        yield from found.facts
        read_all = [_read(path, directory, read_snapshot, (*keys, *found.keys), now) for path in found.snapshots]
        yield from (fact for facts in read_all for fact in facts)
        yield BackupPlace(Location(file=display(str(directory))), len(found.snapshots) + found.again, now)


def _files(directory: Path, found: _Found) -> Iterator[Path]:
    """Every file below it, in a fixed order; what is not gone into is told in `found`."""
    inside = directory.resolve()

    def refused(error: OSError) -> None:
        found.facts.append(_unread(Path(str(error.filename)), _reason(error)))

    for parent, below, names in os.walk(directory, onerror=refused):
        below.sort()
        for link in (Path(parent) / name for name in below):
            # What lies below is gone through anyway.
            if link.is_symlink() and not link.resolve().is_relative_to(inside):
                found.facts.append(_unread(link, "it is a link to a directory elsewhere, which is not gone into"))
        yield from (Path(parent) / name for name in sorted(names))


def _sort(path: Path, directory: Path, found: _Found, known: dict[tuple[int, int], bool]) -> None:
    """Put `path` where it belongs in `found`. `known` are files that were seen, and whether they are snapshots."""
    try:
        status = path.stat()
        file = (status.st_dev, status.st_ino)
        if file in known:
            found.again += known[file]
        elif stat.S_ISREG(status.st_mode):
            known[file] = False
            _sort_regular(path, status.st_size, directory, found)
            known[file] = path in found.snapshots[-1:]
    except FileNotFoundError:
        # A link to nothing, or it was removed meanwhile: a backup that is not there is none.
        return
    except OSError as error:
        found.facts.append(_unread(path, _reason(error)))
    except UnusableInputError as error:
        found.facts.append(_unread(path, (error.cause or "it cannot be read").lower()))


def _sort_regular(path: Path, size: int, directory: Path, found: _Found) -> None:
    with OpenFile(path) as file:
        packed = is_compressed(file)
        sealed = file[0 : len(_SEALED)] == _SEALED
        head = file[_DATABASE_AT : _DATABASE_AT + len(_DATABASE)]
    if path.suffix == _PARTIAL:
        found.facts.append(_unread(path, "it is being written, or a save that was cut off has left it"))
    elif sealed and path.with_name(path.name + _MANIFEST).is_file():
        found.snapshots.append(path)
    elif packed:
        if _NAMED_SO.search(path.name):
            found.facts.append(_unread(path, "it is compressed or encrypted: unpack it to have it looked into"))
    elif path.suffix == ".db" or head == _DATABASE:
        found.snapshots.append(path)
    elif size <= _LARGEST_TEXT:
        _look_for_keys(path, directory, found)


def _look_for_keys(path: Path, directory: Path, found: _Found) -> None:
    name = display(str(path))
    content = path.read_bytes()
    found.facts.append(InputFile(Location(file=name), hashlib.sha256(content).hexdigest(), len(content)))
    for what, location, key in _raw_keys(name, content):
        found.keys.append(key)
        found.facts.append(RawKey(key.ref, key.fingerprint, what, _absolute(directory), location))


def _raw_keys(name: str, content: bytes) -> Iterator[tuple[str, Location, Key]]:
    """The keys that stand in a file, whatever kind of file it is."""
    for fact in read(Text(name, content)):
        if isinstance(fact, Configuration) and fact.judged.decoded is not None:
            for key in effective.all_static_keys(fact.judged.decoded.config):
                yield "an EncryptionConfiguration", fact.location, key
    if _KEY_FORMAT.encode() in content:
        try:
            fields = json.loads(content)
            key = Key(Provider(fields["provider"]), fields["name"], base64.b64decode(fields["material"]))
        except (ValueError, KeyError, TypeError, RecursionError, UnusableInputError):
            return
        yield "a key file of keyctl", Location(file=name), key


def _read(
    path: Path, directory: Path, read_snapshot: ReadSnapshot, keys: Sequence[Key], now: datetime
) -> tuple[Placed, ...]:
    """The facts about one snapshot, or that it was not read in one piece."""
    try:
        before = path.stat()
        found = read_snapshot(path, keys)
        digest = _sha256(path)
        after = path.stat()
    except OSError as error:
        return (_unread(path, _reason(error)),)
    except (RefusedError, StoppedError) as error:
        # One that has no room to be decrypted keeps nobody from looking at the others.
        return (_unread(path, f"{error}: {error.cause}" if error.cause else str(error)),)
    if _state(before) != _state(after):
        return (_unread(path, "it changed while it was read"),)
    location = Location(file=display(str(path)))
    modified = datetime.fromtimestamp(after.st_mtime, UTC)
    snapshot = Snapshot(
        location,
        _absolute(path),
        _absolute(directory),
        now,
        modified,
        found.sha256,
        found.wrong,
        found.manifest,
        found.saved,
        found.renewed,
        found.content,
        found.closed,
        Evidence.E1 if found.closed else Evidence.E3,
    )
    return InputFile(location, digest, after.st_size), snapshot


def _absolute(path: Path) -> str:
    # As the register names it: no link is followed.
    return os.path.abspath(path)  # noqa: PTH100


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _state(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _unread(path: Path, reason: str) -> Unread:
    return Unread(reason, frozenset({About.BACKUP}), Location(file=display(str(path))))


def _reason(error: OSError) -> str:
    return (error.strerror or "it cannot be read").lower()
