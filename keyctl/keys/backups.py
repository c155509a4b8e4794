"""The register of what still needs which key: snapshots that were kept, and etcd's own history; and of escrows.

Pure: text in, records out. It holds no key bytes.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from keyctl.errors import RefusedError, UnusableInputError
from keyctl.keys.key import KeyRef, Provider
from keyctl.keys.ledger import KeyRecord, KeyState

_FORMAT = "keyctl/backup/v1"
_NOTED_FIELDS = {"format", "cluster", "event", "kind", "location", "at", "revision", "needs", "sha256"}
_FORGOTTEN_FIELDS = {"format", "cluster", "event", "location", "at"}
# NOTE: what came later than the register itself; a line that has nothing to say of them leaves them out.
_LATER_FIELDS = {"fingerprints", "tested", "keyIds"}


class BackupKind(StrEnum):
    """What holds values: a snapshot file, or the superseded revisions of a live etcd. An escrow holds keys."""

    SNAPSHOT = "snapshot"
    HISTORY = "history"
    ESCROW = "escrow"


class Proof(StrEnum):
    """What a test has proven. `FAILED`: it was not what it should be."""

    SERVED = "served"
    OPENED = "opened"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Proven:
    """The newest test of a snapshot (`served` by a real API server, or its values `opened`) or of an escrow (`opened`).

    `at` in ISO 8601.
    """

    at: str
    proof: Proof


@dataclass(frozen=True, slots=True)
class Backup:
    """Something that holds values under the keys in `needs`.

    `location` is the snapshot's absolute path, or the endpoint of the etcd whose
    revisions before `revision` hold them. `revision` of a snapshot is the one it
    was taken at. `sha256` is "" for history. `at` is when it was noted, in ISO 8601.
    `fingerprints` are those of the keys in `needs` that have opened its values;
    `key_ids` what the plugins in `needs` called their keys. Those are at a KMS,
    and no key store has them.
    An `ESCROW` needs nothing: the keys in `needs` are those that it holds.
    """

    kind: BackupKind
    location: str
    at: str
    revision: int
    needs: tuple[KeyRef, ...]
    sha256: str = ""
    fingerprints: tuple[tuple[KeyRef, str], ...] = ()
    tested: Proven | None = None
    key_ids: tuple[tuple[KeyRef, str], ...] = ()

    def holds(self, ref: KeyRef, fingerprint: str) -> bool:
        """Whether a tested escrow has this very key."""
        good = self.tested is not None and self.tested.proof is not Proof.FAILED
        return self.kind is BackupKind.ESCROW and good and (ref, fingerprint) in self.fingerprints


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


def needing(backups: Iterable[Backup], ref: KeyRef, fingerprint: str = "") -> tuple[Backup, ...]:
    """Those of `backups` that hold values under `ref`, or under its bytes, by its `fingerprint`, whatever they call it.

    A name that was opened by other bytes counts all the same: too much is kept rather than too little.
    """
    return tuple(
        backup
        for backup in backups
        if backup.kind is not BackupKind.ESCROW
        and (ref in backup.needs or (fingerprint and fingerprint in {known for _, known in backup.fingerprints}))
    )


def require_judged(backups: Iterable[Backup], record: KeyRecord, judged: Collection[Backup]) -> None:
    """Raise `RefusedError` (R4) where one of `backups` needs the key of `record`, and nobody has `judged` it.

    For whoever is about to destroy that key: the register may have grown since it was read.
    """
    found = () if record.state is KeyState.DESTROYED else needing(backups, record.ref, record.fingerprint)
    for backup in found:
        if backup not in judged:
            raise RefusedError(
                f"key {record.ref} is not destroyed",
                cause=f"the {backup.kind} {backup.location}, which needs it, was registered meanwhile",
                hint="run this again: it says then what can be done",
                rule="R4",
            )


def escrows(backups: Iterable[Backup], ref: KeyRef, fingerprint: str) -> tuple[Backup, ...]:
    """The tested escrows among `backups` that hold this very key."""
    return tuple(backup for backup in backups if backup.holds(ref, fingerprint))


def unknown(location: str, store: str) -> UnusableInputError:
    """The error for a `location` that the register of `store` does not have."""
    return UnusableInputError(
        f"no backup at {location} is registered in the key store {store}", hint="see them all: keyctl keys list -o json"
    )


def noted_line(backup: Backup, *, cluster: str) -> bytes:
    """The line that registers `backup`, with its newline."""
    fields: dict[str, object] = {
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
    if backup.fingerprints:
        fields["fingerprints"] = [[f"{ref.provider}:{ref.name}", known] for ref, known in backup.fingerprints]
    if backup.key_ids:
        fields["keyIds"] = [[f"{ref.provider}:{ref.name}", key_id] for ref, key_id in backup.key_ids]
    if backup.tested is not None:
        fields["tested"] = {"at": backup.tested.at, "proof": backup.tested.proof}
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
    except (ValueError, RecursionError):
        raise _damaged(place) from None
    if not isinstance(fields, dict) or fields.get("format") != _FORMAT:
        raise _damaged(place)
    noted = fields.get("event") == Event.NOTED
    expected = _NOTED_FIELDS if noted else _FORGOTTEN_FIELDS
    texts = expected - {"revision", "needs"}
    if fields.keys() - (_LATER_FIELDS if noted else set()) != expected or not all(
        isinstance(fields[name], str) for name in texts
    ):
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
        fingerprints=_pairs(fields.get("fingerprints", [])),
        tested=_tested(fields.get("tested")),
        key_ids=_pairs(fields.get("keyIds", [])),
    )


def _pairs(content: object) -> tuple[tuple[KeyRef, str], ...]:
    if not isinstance(content, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in content):
        raise ValueError("pairs of a key and a text")
    return tuple((_ref(name), str(known)) for name, known in content)


def _tested(content: object) -> Proven | None:
    if content is None:
        return None
    if not isinstance(content, dict) or content.keys() != {"at", "proof"}:
        raise ValueError("a test has a time and what it has proven")
    return Proven(str(content["at"]), Proof(str(content["proof"])))


def _ref(text: object) -> KeyRef:
    if not isinstance(text, str) or ":" not in text:
        raise ValueError("a key is written as provider:name")
    provider, _, name = text.partition(":")
    return KeyRef(Provider(provider), name)


def _damaged(place: str) -> UnusableInputError:
    return UnusableInputError(
        f"{place}: this line of the register of backups is damaged", hint="restore the key directory from its backup"
    )
