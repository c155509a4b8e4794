"""When a key that writes is due to be changed: by its age, or because it has leaked.

Pure: keys, ledger records and a moment in, a judgement out. An age that is not known
is never taken for a young one. How many values a key has written is not counted:
neither the ledger nor etcd's revisions tell the writes of one key.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

from keyctl.keys.key import KeyRef
from keyctl.keys.ledger import KeyRecord, KeyState, Origin
from keyctl.keys.shown import shown_ref

# The clocks of machines that share a key store may differ by so much.
_SKEW = timedelta(minutes=5)


class Since(Enum):
    """What the beginning of a key's age is."""

    USED = "in use since"
    SEEN = "first seen"
    MADE = "made"


@dataclass(frozen=True, slots=True)
class InUse:
    """A key that stands in a server's file, without its bytes. `writes`: new values are stored under it."""

    ref: KeyRef
    fingerprint: str
    writes: bool = True


@dataclass(frozen=True, slots=True)
class KeyAge:
    """How long the bytes of a key have been in use, under whatever name; `since` None: the ledger does not tell.

    `leaked` is when they were noted as compromised, in ISO 8601.
    """

    key: InUse
    since: datetime | None = None
    how: Since = Since.USED
    leaked: str | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether a rotation is due, the key that decides it, and in one line why.

    `at` is when it becomes due, or did. It is None for a key that has leaked, and where the age is not known: then
    `unknown` is true, and so is `due`, for nothing shows that it is not.
    """

    due: bool
    key: KeyRef
    sentence: str
    since: datetime | None = None
    at: datetime | None = None
    unknown: bool = False


def age_of(key: InUse, records: Iterable[KeyRecord]) -> KeyAge:
    """The age of `key` by the ledger's `records`: that of the oldest record with its bytes."""
    same = [record for record in records if record.fingerprint == key.fingerprint]
    leaked = next((c.at for r in same for c in r.history if c.state is KeyState.COMPROMISED), None)
    begun = [beginning for record in same if (beginning := _beginning(record)) is not None]
    if not same or len(begun) < len(same):
        return KeyAge(key, leaked=leaked)
    since, how = min(begun, key=lambda one: one[0])
    return KeyAge(key, since, how, leaked)


def judge(keys: Iterable[InUse], records: Iterable[KeyRecord], *, now: datetime, max_age: timedelta) -> Judgement:
    """Whether one of `keys` is due. A leaked key comes first, then one of unknown age, then the oldest that writes.

    Raises `ValueError` when none of `keys` writes.
    """
    known = tuple(records)
    ages = [age_of(key, known) for key in keys]
    writing = [age for age in ages if age.key.writes]
    if not writing:
        raise ValueError("no key that writes")
    leaked = next((age for age in ages if age.leaked is not None), None)
    if leaked is not None:
        ref = leaked.key.ref
        return Judgement(True, ref, f"due: {shown_ref(ref)} is compromised, since {_day_of(leaked.leaked)}")
    for age in writing:
        if age.since is None or age.since > now + _SKEW:
            return _unknown(age)
    return _by_age(min(writing, key=lambda age: age.since or now), now, max_age)


def _by_age(oldest: KeyAge, now: datetime, max_age: timedelta) -> Judgement:
    since = oldest.since or now
    at = since + max_age
    least = "at least " if oldest.how is Since.SEEN else ""
    told = "" if oldest.how is Since.USED else f" ({oldest.how.value} {_day(since)})"
    age = f"{shown_ref(oldest.key.ref)} is {least}{span(now - since)} old{told}"
    if now < at:
        sentence = f"not due: {age}, due in {span(at - now)} ({_day(at)})"
        return Judgement(False, oldest.key.ref, sentence, since, at)
    return Judgement(True, oldest.key.ref, f"due: {age}, {span(now - at)} past policy.keyMaxAge", since, at)


def _unknown(age: KeyAge) -> Judgement:
    ref = age.key.ref
    if age.since is None:
        sentence = f"due: how long {shown_ref(ref)} has been in use is not known"
    else:
        sentence = (
            f"due: by the ledger {shown_ref(ref)} comes into use at {age.since:%Y-%m-%d %H:%M} UTC, which is to come"
        )
    return Judgement(True, ref, sentence, age.since, unknown=True)


def _beginning(record: KeyRecord) -> tuple[datetime, Since] | None:
    """When a key came into use by its own record; None where the record's time is none."""
    used = next((change.at for change in record.history if change.state is KeyState.ACTIVE), None)
    since = _moment(record.created if used is None else used)
    if since is None:
        return None
    if record.origin is Origin.IMPORTED:
        return since, Since.SEEN
    return since, Since.MADE if used is None else Since.USED


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.astimezone(UTC) if found.utcoffset() is not None else None


def _day_of(text: str | None) -> str:
    moment = _moment(text or "")
    return "a time that is not known" if moment is None else _day(moment)


def _day(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d}"


def span(time: timedelta) -> str:
    """`time` in whole days; below one day in hours, below an hour in minutes."""
    seconds = max(int(time.total_seconds()), 0)
    for size, unit in ((86_400, "d"), (3_600, "h")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds // 60} min"
