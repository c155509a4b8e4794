"""When a key that writes is due, from ledger records and fixed moments."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from keyctl.keys.key import Key, KeyRef, Provider
from keyctl.keys.ledger import KeyRecord, KeyState, Origin, StateChange, admit, change
from keyctl.rotation.due import InUse, Judgement, Since, age_of, judge, span

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
MAX_AGE = timedelta(days=90)
KEY = Key(Provider.AESCBC, "key1", bytes(range(32)))
OTHER = Key(Provider.SECRETBOX, "key2", bytes(range(32, 64)))


def ago(**time: float) -> str:
    return (NOW - timedelta(**time)).isoformat()


def record(key: Key, *states: tuple[KeyState, str], origin: Origin, at: str) -> KeyRecord:
    """What the ledger holds of `key`, which entered it at `at` and then went through `states`."""
    found = admit((), key, origin=origin, at=at)
    for state, then in states:
        found = change(found, state, at=then)
    return found


def active(key: Key, *, made: str, since: str) -> KeyRecord:
    return record(key, (KeyState.ACTIVE, since), origin=Origin.GENERATED, at=made)


def in_use(key: Key, *, writes: bool = True) -> InUse:
    return InUse(key.ref, key.fingerprint, writes)


def judged(*records: KeyRecord, keys: tuple[InUse, ...] = (in_use(KEY),)) -> Judgement:
    return judge(keys, records, now=NOW, max_age=MAX_AGE)


def test_the_age_counts_from_when_the_key_came_into_use_not_from_when_it_was_made() -> None:
    found = judged(active(KEY, made=ago(days=100), since=ago(days=12)))
    assert not found.due
    assert found.sentence == "not due: aescbc/key1 is 12 d old, due in 78 d (2027-02-07)"
    assert (found.since, found.at) == (NOW - timedelta(days=12), NOW + timedelta(days=78))


def test_a_second_time_in_use_does_not_make_a_key_younger() -> None:
    back = record(
        KEY,
        (KeyState.ACTIVE, ago(days=95)),
        (KeyState.DEACTIVATED, ago(days=20)),
        (KeyState.ACTIVE, ago(days=1)),
        origin=Origin.GENERATED,
        at=ago(days=95),
    )
    assert judged(back).sentence == "due: aescbc/key1 is 95 d old, 5 d past policy.keyMaxAge"


@pytest.mark.parametrize(
    ("age", "due"), [(MAX_AGE - timedelta(seconds=1), False), (MAX_AGE, True), (MAX_AGE + timedelta(days=1), True)]
)
def test_it_is_due_from_the_very_moment_on_at_which_it_reaches_the_age(age: timedelta, due: bool) -> None:
    assert judged(active(KEY, made=ago(days=99), since=(NOW - age).isoformat())).due is due


def test_a_key_that_was_found_in_a_file_counts_from_then_and_is_said_to_be_older() -> None:
    found = judged(record(KEY, origin=Origin.IMPORTED, at=ago(days=12)))
    assert found.sentence == (
        "not due: aescbc/key1 is at least 12 d old (first seen 2026-11-09), due in 78 d (2027-02-07)"
    )


def test_a_key_that_the_ledger_has_not_seen_in_use_counts_from_when_it_was_made() -> None:
    found = judged(record(KEY, origin=Origin.GENERATED, at=ago(days=91)))
    assert found.due
    assert found.sentence == "due: aescbc/key1 is 91 d old (made 2026-08-22), 1 d past policy.keyMaxAge"


def test_a_renamed_key_is_as_old_as_its_bytes() -> None:
    renamed = Key(KEY.provider, "main", KEY.material)
    records = (
        active(KEY, made=ago(days=100), since=ago(days=99)),
        record(renamed, (KeyState.ACTIVE, ago(days=2)), origin=Origin.RENAMED, at=ago(days=2)),
    )
    found = judged(*records, keys=(in_use(renamed),))
    assert found.sentence == "due: aescbc/main is 99 d old, 9 d past policy.keyMaxAge"
    assert not judged(records[1], keys=(in_use(renamed),)).due, "it would be young by its own record"


def test_of_several_keys_that_write_the_oldest_decides() -> None:
    records = (
        active(KEY, made=ago(days=10), since=ago(days=10)),
        active(OTHER, made=ago(days=95), since=ago(days=95)),
    )
    found = judged(*records, keys=(in_use(KEY), in_use(OTHER)))
    assert (found.due, found.key) == (True, OTHER.ref)
    reads = judged(*records, keys=(in_use(KEY), in_use(OTHER, writes=False)))
    assert (reads.due, reads.key) == (False, KEY.ref)


@pytest.mark.parametrize("writes", [True, False])
def test_a_leaked_key_is_due_at_once_even_where_it_only_reads(writes: bool) -> None:
    leaked = record(
        OTHER,
        (KeyState.ACTIVE, ago(days=3)),
        (KeyState.COMPROMISED, ago(days=1)),
        origin=Origin.GENERATED,
        at=ago(days=3),
    )
    found = judged(
        active(KEY, made=ago(days=3), since=ago(days=3)), leaked, keys=(in_use(KEY), in_use(OTHER, writes=writes))
    )
    assert (found.due, found.unknown, found.at) == (True, False, None)
    assert found.sentence == "due: secretbox/key2 is compromised, since 2026-11-20"


def test_bytes_that_leaked_under_another_name_have_leaked() -> None:
    renamed = Key(KEY.provider, "main", KEY.material)
    leaked = record(KEY, (KeyState.COMPROMISED, ago(days=1)), origin=Origin.IMPORTED, at=ago(days=3))
    fresh = record(renamed, (KeyState.ACTIVE, ago(hours=1)), origin=Origin.RENAMED, at=ago(hours=1))
    assert judged(leaked, fresh, keys=(in_use(renamed),)).sentence.startswith("due: aescbc/main is compromised")


def test_a_key_that_the_ledger_does_not_have_is_never_taken_for_a_young_one() -> None:
    found = judged(active(OTHER, made=ago(days=1), since=ago(days=1)))
    assert (found.due, found.unknown) == (True, True)
    assert found.sentence == "due: how long aescbc/key1 has been in use is not known"


def test_the_same_name_with_other_bytes_tells_nothing_of_the_key() -> None:
    imposter = Key(KEY.provider, KEY.name, bytes(32))
    assert judged(active(imposter, made=ago(days=1), since=ago(days=1))).unknown


def test_an_unknown_key_beside_a_known_one_is_not_passed_over() -> None:
    found = judged(active(KEY, made=ago(days=1), since=ago(days=1)), keys=(in_use(KEY), in_use(OTHER)))
    assert (found.due, found.unknown, found.key) == (True, True, OTHER.ref)


@pytest.mark.parametrize("at", ["yesterday", "2026-11-09T10:00:00"])
def test_a_time_that_is_none_or_has_no_zone_is_not_known(at: str) -> None:
    found = KeyRecord(KEY.ref, KEY.fingerprint, Origin.IMPORTED, (StateChange(KeyState.ACTIVE, at),))
    assert judged(found).unknown
    young = active(Key(KEY.provider, "main", KEY.material), made=ago(days=1), since=ago(days=1))
    assert judged(found, young).unknown, "the one that cannot be read may be the older one"


def test_a_beginning_that_is_to_come_is_the_fault_of_a_clock_and_no_youth() -> None:
    found = judged(active(KEY, made=ago(days=-2), since=ago(days=-2)))
    assert (found.due, found.unknown) == (True, True)
    assert found.sentence == ("due: by the ledger aescbc/key1 comes into use at 2026-11-23 10:00 UTC, which is to come")


def test_a_little_skew_between_two_machines_is_no_fault() -> None:
    found = judged(active(KEY, made=ago(minutes=-1), since=ago(minutes=-1)))
    assert found.sentence == "not due: aescbc/key1 is 0 min old, due in 90 d (2027-02-19)"


def test_a_time_in_another_zone_is_the_same_moment() -> None:
    found = age_of(in_use(KEY), (record(KEY, origin=Origin.IMPORTED, at="2026-11-09T12:00:00+02:00"),))
    assert (found.since, found.how) == (NOW - timedelta(days=12), Since.SEEN)


def test_without_a_key_that_writes_there_is_nothing_to_judge() -> None:
    with pytest.raises(ValueError, match="no key that writes"):
        judged(keys=(in_use(KEY, writes=False),))


def test_a_name_that_looks_like_a_key_is_not_printed() -> None:
    name = "3q2+7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
    assert name not in judged(keys=(InUse(KeyRef(Provider.AESCBC, name), "f"),)).sentence


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (timedelta(days=78, hours=23), "78 d"),
        (timedelta(hours=23, minutes=59), "23 h"),
        (timedelta(minutes=59), "59 min"),
        (timedelta(seconds=-5), "0 min"),
    ],
)
def test_a_span_is_told_in_its_largest_unit(time: timedelta, text: str) -> None:
    assert span(time) == text
