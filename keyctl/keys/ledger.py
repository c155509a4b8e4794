"""The ledger of a cluster's keys: what each key is, where it is in its life, and when it got there.

Pure: text in, records out. No key bytes ever stand in a record or a line, and
nothing here reads a file, the clock or a key.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from keyctl.errors import RefusedError, UnusableInputError
from keyctl.keys.key import Key, KeyRef, Provider


class KeyState(StrEnum):
    """The states of a key's life, named as in NIST SP 800-57 part 1, section 7."""

    PRE_ACTIVATION = "pre-activation"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    DEACTIVATED = "deactivated"
    COMPROMISED = "compromised"
    DESTROYED = "destroyed"


class Origin(StrEnum):
    """Where a key came from."""

    GENERATED = "generated"
    IMPORTED = "imported"
    RENAMED = "renamed"


STATES: tuple[KeyState, ...] = tuple(KeyState)

# An imported key was found in a server's file: it is in use.
_FIRST_STATE = {
    Origin.GENERATED: KeyState.PRE_ACTIVATION,
    Origin.IMPORTED: KeyState.ACTIVE,
    Origin.RENAMED: KeyState.PRE_ACTIVATION,
}

# NOTE: three edges are not NIST's. `deactivated → active` is the way back out of `retired`. A key that was
# generated and never used is deactivated, not destroyed, and nothing is destroyed that was not first taken
# out of use (R4): the ledger may lag behind the files by one crash.
_ALLOWED: dict[KeyState, frozenset[KeyState]] = {
    KeyState.PRE_ACTIVATION: frozenset({KeyState.ACTIVE, KeyState.DEACTIVATED, KeyState.COMPROMISED}),
    KeyState.ACTIVE: frozenset({KeyState.SUSPENDED, KeyState.DEACTIVATED, KeyState.COMPROMISED}),
    KeyState.SUSPENDED: frozenset({KeyState.ACTIVE, KeyState.DEACTIVATED, KeyState.COMPROMISED}),
    KeyState.DEACTIVATED: frozenset({KeyState.ACTIVE, KeyState.COMPROMISED, KeyState.DESTROYED}),
    KeyState.COMPROMISED: frozenset({KeyState.DESTROYED}),
    KeyState.DESTROYED: frozenset(),
}

_FORMAT = "keyctl/ledger/v1"
_ADDED_FIELDS = {"format", "cluster", "provider", "name", "state", "at", "fingerprint", "origin"}
_CHANGED_FIELDS = {"format", "cluster", "provider", "name", "state", "at"}
_WRITE_FIELDS = {"format", "cluster", "provider", "name", "write", "revision", "at"}
_FIRST, _LAST = "first", "last"


@dataclass(frozen=True, slots=True)
class StateChange:
    """A state and the moment it was entered, in ISO 8601."""

    state: KeyState
    at: str


@dataclass(frozen=True, slots=True)
class Moment:
    """A revision of the main etcd, and when it was looked at, in ISO 8601."""

    revision: int
    at: str


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What the ledger knows of one key. `history` holds every state it entered, the first one first.

    `first_write`: by then every server was proven to write with it. `last_write`: by then no server wrote with it any
    more, and a scan found nothing under it; of a key in use again it is that of the time before. Each is None where no
    rotation has proven it.
    """

    ref: KeyRef
    fingerprint: str
    origin: Origin
    history: tuple[StateChange, ...]
    first_write: Moment | None = None
    last_write: Moment | None = None

    @property
    def state(self) -> KeyState:
        """The state the key is in."""
        return self.history[-1].state

    @property
    def created(self) -> str:
        """When the key entered the ledger, in ISO 8601."""
        return self.history[0].at


def admit(records: Iterable[KeyRecord], key: Key, *, origin: str, at: str) -> KeyRecord:
    """The record of `key`: the one in `records`, or a new one in the first state of its `origin`.

    Raises `RefusedError` (R5) when the name stands for other bytes already, or for a destroyed key.
    """
    known = find(records, key.ref)
    if known is None:
        source = Origin(origin)
        return KeyRecord(key.ref, key.fingerprint, source, (StateChange(_FIRST_STATE[source], at),))
    if known.state is KeyState.DESTROYED:
        raise RefusedError(
            f"key {key.ref} was destroyed, and its name is never used again",
            cause=f"the ledger has it as destroyed since {known.history[-1].at}",
            hint="give the new key a name that was never used",
            rule="R5",
        )
    if known.fingerprint != key.fingerprint:
        raise RefusedError(
            f"key {key.ref} is already known with other bytes",
            cause=f"the ledger has fingerprint {known.fingerprint}, this key has {key.fingerprint}",
            hint="give the new key a name that was never used",
            rule="R5",
        )
    return known


def find(records: Iterable[KeyRecord], ref: KeyRef) -> KeyRecord | None:
    """The record of `ref`, or None."""
    return next((record for record in records if record.ref == ref), None)


def change(record: KeyRecord, state: str, *, at: str) -> KeyRecord:
    """`record` in the new `state`; `record` itself when it is there already.

    Raises `RefusedError` when the key's life has no such step (R4 for destruction).
    """
    wanted = KeyState(state)
    if wanted == record.state:
        return record
    if wanted in _ALLOWED[record.state]:
        return replace(record, history=(*record.history, StateChange(wanted, at)))
    if wanted is KeyState.DESTROYED:
        raise RefusedError(
            f"key {record.ref} is {record.state} and cannot be destroyed",
            cause="only a deactivated or compromised key may be destroyed",
            hint="take the key out of use first: keyctl rotate",
            rule="R4",
        )
    raise RefusedError(
        f"key {record.ref} is {record.state} and cannot become {wanted}",
        hint="use another key: keyctl rotate makes one",
    )


def wrote(record: KeyRecord, *, first: Moment | None, last: Moment | None) -> KeyRecord:
    """`record` with what a rotation has proven of its writes: the earliest first one and the newest last one count."""
    began, ended = record.first_write, record.last_write
    if first is not None and (began is None or first.revision < began.revision):
        began = first
    if last is not None and (ended is None or last.revision > ended.revision):
        ended = last
    return replace(record, first_write=began, last_write=ended)


def lines(known: KeyRecord | None, record: KeyRecord, *, cluster: str) -> tuple[bytes, ...]:
    """The lines that make of `known`, what a ledger has of the key, all that `record` says; none when it has all.

    Raises `RefusedError` (R5) when the two are not the life of one key, one further on than the other.
    """
    past = () if known is None else known.history
    if known is not None and (
        (known.ref, known.fingerprint, known.origin) != (record.ref, record.fingerprint, record.origin)
        or record.history[: len(past)] != past
    ):
        raise RefusedError(
            f"key {record.ref} is already known with another life",
            cause=f"it is {known.state} there, with fingerprint {known.fingerprint}, since {past[-1].at}",
            hint="restore into an empty key store",
            rule="R5",
        )
    lives = (replace(record, history=record.history[:end]) for end in range(len(past) + 1, len(record.history) + 1))
    changes = tuple(to_line(life, cluster=cluster) for life in lives)
    before = (None, None) if known is None else (known.first_write, known.last_write)
    return (*changes, *_write_lines(record, before, cluster))


def write_lines(known: KeyRecord, record: KeyRecord, *, cluster: str) -> tuple[bytes, ...]:
    """The lines that tell of the writes of `record` what `known` does not."""
    return _write_lines(record, (known.first_write, known.last_write), cluster)


def to_line(record: KeyRecord, *, cluster: str) -> bytes:
    """The line that the last change of `record` adds to the ledger of `cluster`, with its newline."""
    last = record.history[-1]
    fields: dict[str, str] = {
        "format": _FORMAT,
        "cluster": cluster,
        "provider": record.ref.provider,
        "name": record.ref.name,
        "state": last.state,
        "at": last.at,
    }
    if len(record.history) == 1:
        fields |= {"fingerprint": record.fingerprint, "origin": record.origin}
    return json.dumps(fields).encode() + b"\n"


def replay(content: bytes, *, cluster: str, name: str) -> tuple[KeyRecord, ...]:
    """The records that the lines of `content` add up to, in order of arrival. `name` is the ledger's, for messages.

    Raises `UnusableInputError`, with the line, for anything that `to_line` would not have written.
    """
    records: dict[KeyRef, KeyRecord] = {}
    for number, line in enumerate(content.splitlines(), start=1):
        place = f"{name}:{number}"
        fields = _fields(line, place)
        if fields["cluster"] != cluster:
            raise UnusableInputError(
                f'{place}: this ledger belongs to cluster "{fields["cluster"]}", not "{cluster}"',
                hint="give each cluster its own keys.directory",
            )
        try:
            record = _step(records, fields)
        except (ValueError, RefusedError):
            raise _damaged(place) from None
        records[record.ref] = record
    return tuple(records.values())


def _step(records: dict[KeyRef, KeyRecord], fields: dict[str, str]) -> KeyRecord:
    """The record after one line. Raises `ValueError` or `RefusedError` when the line does not follow."""
    ref = KeyRef(Provider(fields["provider"]), fields["name"])
    known = records.get(ref)
    if "write" in fields:
        return _written(known, fields)
    state = KeyState(fields["state"])
    if known is not None and "origin" not in fields:
        return change(known, state, at=fields["at"])
    origin = Origin(fields.get("origin", ""))
    if known is not None or state is not _FIRST_STATE[origin]:
        raise ValueError("a key enters the ledger once, in the first state of its origin")
    return KeyRecord(ref, fields["fingerprint"], origin, (StateChange(state, fields["at"]),))


def _written(known: KeyRecord | None, fields: dict[str, str]) -> KeyRecord:
    if known is None or fields["write"] not in (_FIRST, _LAST):
        raise ValueError("a write is the first or the last one of a key that the ledger knows")
    moment = Moment(int(fields["revision"]), fields["at"])
    if fields["write"] == _FIRST:
        return wrote(known, first=moment, last=None)
    return wrote(known, first=None, last=moment)


def _write_lines(record: KeyRecord, before: tuple[Moment | None, Moment | None], cluster: str) -> tuple[bytes, ...]:
    named = ((_FIRST, record.first_write, before[0]), (_LAST, record.last_write, before[1]))
    return tuple(
        json.dumps(
            {
                "format": _FORMAT,
                "cluster": cluster,
                "provider": record.ref.provider,
                "name": record.ref.name,
                "write": which,
                "revision": str(moment.revision),
                "at": moment.at,
            }
        ).encode()
        + b"\n"
        for which, moment, was in named
        if moment is not None and moment != was
    )


def _fields(line: bytes, place: str) -> dict[str, str]:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        raise _damaged(place) from None
    if (
        not isinstance(fields, dict)
        or fields.keys() not in (_ADDED_FIELDS, _CHANGED_FIELDS, _WRITE_FIELDS)
        or not all(isinstance(value, str) for value in fields.values())
        or fields["format"] != _FORMAT
    ):
        raise _damaged(place)
    return fields


def _damaged(place: str) -> UnusableInputError:
    return UnusableInputError(
        f"{place}: this line of the key ledger is damaged", hint="restore the key directory from its backup"
    )
