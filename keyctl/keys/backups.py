"""The register of what still needs which key: snapshots that were kept, and etcd's own history.

Pure: text in, records out. It holds no key bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from keyctl.errors import UnusableInputError
from keyctl.keys.key import KeyRef, Provider

_FORMAT = "keyctl/backup/v1"
_NOTED_FIELDS = {"format", "cluster", "event", "kind", "location", "at", "revision", "needs", "sha256"}
_FORGOTTEN_FIELDS = {"format", "cluster", "event", "location", "at"}


class BackupKind(StrEnum):
    """What holds values: a snapshot file, or the superseded revisions of a live etcd."""

    SNAPSHOT = "snapshot"
    HISTORY = "history"


@dataclass(frozen=True, slots=True)
class Backup:
    """Something that holds values under the keys in `needs`.

    `location` is the snapshot's absolute path, or the endpoint of the etcd whose
    revisions before `revision` hold them. `revision` of a snapshot is the one it
    was taken at. `sha256` is "" for history. `at` is when it was noted, in ISO 8601.
    """

    kind: BackupKind
    location: str
    at: str
    revision: int
    needs: tuple[KeyRef, ...]
    sha256: str = ""


class Event(StrEnum):
    """What a line of the register says of a backup."""

    NOTED = "noted"
    FORGOTTEN = "forgotten"


def succeed(known: Iterable[Backup], backup: Backup) -> Backup:
    """`backup` as the register takes it in the place of what it knew of that location.

    The needs of one etcd's history add up: what an earlier rotation left there
    may still be there. Once `revision` is compacted, all of it is gone.
    """
    former = next((one for one in known if one.location == backup.location), None)
    if former is None or {former.kind, backup.kind} != {BackupKind.HISTORY}:
        return backup
    needs = tuple(dict.fromkeys((*former.needs, *backup.needs)))
    return replace(backup, needs=needs, revision=max(former.revision, backup.revision))


def needing(backups: Iterable[Backup], ref: KeyRef) -> tuple[Backup, ...]:
    """Those of `backups` that hold values under `ref`."""
    return tuple(backup for backup in backups if ref in backup.needs)


def unknown(location: str, store: str) -> UnusableInputError:
    """The error for a `location` that the register of `store` does not have."""
    return UnusableInputError(
        f"no backup at {location} is registered in the key store {store}", hint="see them all: keyctl keys list -o json"
    )


def noted_line(backup: Backup, *, cluster: str) -> bytes:
    """The line that registers `backup`, with its newline."""
    fields = {
        "format": _FORMAT,
        "cluster": cluster,
        "event": Event.NOTED,
        "kind": backup.kind,
        "location": backup.location,
        "at": backup.at,
        "revision": backup.revision,
        "needs": [f"{ref.provider}:{ref.name}" for ref in backup.needs],
        "sha256": backup.sha256,
    }
    return json.dumps(fields).encode() + b"\n"


def forgotten_line(location: str, *, at: str, cluster: str) -> bytes:
    """The line that takes the backup at `location` out of the register, with its newline."""
    fields = {"format": _FORMAT, "cluster": cluster, "event": Event.FORGOTTEN, "location": location, "at": at}
    return json.dumps(fields).encode() + b"\n"


def replay(content: bytes, *, cluster: str, name: str) -> tuple[Backup, ...]:
    """The backups that the lines of `content` leave registered, in order of arrival. `name` is for messages.

    Raises `UnusableInputError`, with the line, for anything that this module would not have written.
    """
    registered: dict[str, Backup] = {}
    for number, line in enumerate(content.splitlines(), start=1):
        place = f"{name}:{number}"
        fields = _fields(line, place)
        if fields["cluster"] != cluster:
            raise UnusableInputError(
                f'{place}: this register belongs to cluster "{fields["cluster"]}", not "{cluster}"',
                hint="give each cluster its own keys.directory",
            )
        location = str(fields["location"])
        try:
            if fields["event"] == Event.NOTED:
                registered[location] = _backup(fields)
            else:
                del registered[location]
        except (ValueError, KeyError):
            raise _damaged(place) from None
    return tuple(registered.values())


def _fields(line: bytes, place: str) -> dict[str, object]:
    try:
        fields = json.loads(line)
    except ValueError:
        raise _damaged(place) from None
    if not isinstance(fields, dict) or fields.get("format") != _FORMAT:
        raise _damaged(place)
    expected = _NOTED_FIELDS if fields.get("event") == Event.NOTED else _FORGOTTEN_FIELDS
    texts = expected - {"revision", "needs"}
    if fields.keys() != expected or not all(isinstance(fields[name], str) for name in texts):
        raise _damaged(place)
    if fields["event"] not in tuple(Event):
        raise _damaged(place)
    return fields


def _backup(fields: dict[str, object]) -> Backup:
    """The backup that a line notes. Raises `ValueError` when a field is not what it should be."""
    revision, needs = fields["revision"], fields["needs"]
    if type(revision) is not int or revision < 0 or not isinstance(needs, list):
        raise ValueError("a revision is a number, and needs are a list")
    return Backup(
        kind=BackupKind(str(fields["kind"])),
        location=str(fields["location"]),
        at=str(fields["at"]),
        revision=revision,
        needs=tuple(_ref(need) for need in needs),
        sha256=str(fields["sha256"]),
    )


def _ref(text: object) -> KeyRef:
    if not isinstance(text, str) or ":" not in text:
        raise ValueError("a key is written as provider:name")
    provider, _, name = text.partition(":")
    return KeyRef(Provider(provider), name)


def _damaged(place: str) -> UnusableInputError:
    return UnusableInputError(
        f"{place}: this line of the register of backups is damaged", hint="restore the key directory from its backup"
    )
