from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyctl.errors import RefusedError, UnusableInputError
from keyctl.keys import ledger
from keyctl.keys.key import Key, KeyRef, Provider
from keyctl.keys.ledger import STATES, KeyRecord, KeyState, Moment

_KEY = Key(Provider.AESCBC, "key1", bytes(range(32)))
_AT = "2026-11-21T10:00:00+00:00"
_NEW = ledger.admit((), _KEY, origin="generated", at=_AT)

_STEPS = {
    ("pre-activation", "active"),
    ("pre-activation", "deactivated"),
    ("pre-activation", "compromised"),
    ("active", "suspended"),
    ("active", "deactivated"),
    ("active", "compromised"),
    ("suspended", "active"),
    ("suspended", "deactivated"),
    ("suspended", "compromised"),
    ("deactivated", "active"),
    ("deactivated", "compromised"),
    ("deactivated", "destroyed"),
    ("compromised", "destroyed"),
}


def _in_state(state: KeyState) -> KeyRecord:
    """A record that walked to `state` the shortest way."""
    ways: list[tuple[KeyState, ...]] = [(KeyState.PRE_ACTIVATION,)]
    for way in ways:
        if way[-1] == state:
            record = _NEW
            for step in way[1:]:
                record = ledger.change(record, step, at=_AT)
            return record
        ways += [(*way, KeyState(target)) for source, target in sorted(_STEPS) if source == way[-1]]
    raise AssertionError(state)


@pytest.mark.parametrize(("source", "target"), list(itertools.permutations(STATES, 2)))
def test_a_key_takes_the_steps_of_its_life_and_no_other(source: KeyState, target: KeyState) -> None:
    record = _in_state(source)
    if (source, target) in _STEPS:
        assert ledger.change(record, target, at="later").history == (
            *record.history,
            ledger.StateChange(target, "later"),
        )
        return
    with pytest.raises(RefusedError) as caught:
        ledger.change(record, target, at="later")
    assert str(source) in str(caught.value)
    assert caught.value.rule == ("R4" if target is KeyState.DESTROYED else None)


@pytest.mark.parametrize("state", STATES)
def test_noting_the_state_a_key_is_in_changes_nothing(state: KeyState) -> None:
    record = _in_state(state)
    assert ledger.change(record, state, at="later") is record


def test_a_state_that_does_not_exist_is_a_mistake_of_the_programmer() -> None:
    with pytest.raises(ValueError, match="retired"):
        ledger.change(_NEW, "retired", at=_AT)


def test_other_bytes_under_a_known_name_are_refused() -> None:
    with pytest.raises(RefusedError, match="aescbc/key1") as caught:
        ledger.admit((_NEW,), Key(Provider.AESCBC, "key1", bytes(32)), origin="imported", at=_AT)
    assert caught.value.rule == "R5"


@given(
    names=st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=4, unique=True),
    data=st.data(),
)
def test_replaying_the_lines_gives_the_records_back(names: list[str], data: st.DataObject) -> None:
    records: dict[KeyRef, KeyRecord] = {}
    lines = []
    for name in names:
        origin = data.draw(st.sampled_from(list(ledger.Origin)))
        record = ledger.admit((), Key(Provider.AESGCM, name, bytes(32)), origin=origin, at=_AT)
        records[record.ref] = record
        lines.append(ledger.to_line(record, cluster="prod"))
    for ref in data.draw(st.lists(st.sampled_from(list(records)), max_size=8)):
        steps = [target for source, target in sorted(_STEPS) if source == records[ref].state]
        if steps:
            records[ref] = ledger.change(records[ref], data.draw(st.sampled_from(steps)), at="later")
            lines.append(ledger.to_line(records[ref], cluster="prod"))
    assert ledger.replay(b"".join(lines), cluster="prod", name="ledger") == tuple(records.values())


_FIRST = ledger.to_line(_NEW, cluster="prod")
_CHANGE = ledger.to_line(ledger.change(_NEW, "active", at=_AT), cluster="prod")


@pytest.mark.parametrize(
    ("line", "number"),
    [
        pytest.param(b"{}\n", 1, id="no fields"),
        pytest.param(b"[1]\n", 1, id="no object"),
        pytest.param(b"\xff\n", 1, id="no text"),
        pytest.param(b"\n", 1, id="empty line"),
        pytest.param(b"[" * 200_000 + b"\n", 1, id="too deep"),
        pytest.param(_CHANGE, 1, id="a change of a key that never came"),
        pytest.param(_FIRST + _FIRST, 2, id="one key twice"),
        pytest.param(_FIRST.replace(b'"pre-activation"', b'"active"'), 1, id="a first state of another origin"),
        pytest.param(_FIRST.replace(b'"generated"', b'"found"'), 1, id="unknown origin"),
        pytest.param(_FIRST.replace(b'"aescbc"', b'"rot13"'), 1, id="unknown provider"),
        pytest.param(_FIRST.replace(b"ledger/v1", b"ledger/v2"), 1, id="another format"),
        pytest.param(_FIRST.replace(b'"key1"', b"1"), 1, id="a number for a name"),
        pytest.param(_FIRST + _CHANGE.replace(b'"active"', b'"destroyed"'), 2, id="a step that no key takes"),
        pytest.param(_FIRST + _CHANGE.replace(b'"active"', b'"sleepy"'), 2, id="unknown state"),
    ],
)
def test_a_damaged_line_is_named(line: bytes, number: int) -> None:
    with pytest.raises(UnusableInputError, match=f"ledger.jsonl:{number}: .*damaged"):
        ledger.replay(line, cluster="prod", name="ledger.jsonl")


def test_the_ledger_of_another_cluster_is_not_ours() -> None:
    with pytest.raises(UnusableInputError, match='belongs to cluster "prod", not "test"'):
        ledger.replay(_FIRST, cluster="test", name="ledger.jsonl")


def _lived(*, first: Moment | None = None, last: Moment | None = None) -> KeyRecord:
    record = ledger.admit((), _KEY, origin="generated", at="day 1")
    record = ledger.change(ledger.change(record, "active", at="day 2"), "deactivated", at="day 3")
    return ledger.wrote(record, first=first, last=last)


def test_the_earliest_first_write_and_the_newest_last_one_count() -> None:
    record = _lived(first=Moment(40, "a"), last=Moment(80, "b"))
    assert ledger.wrote(record, first=Moment(50, "c"), last=Moment(70, "d")) == record
    later = ledger.wrote(record, first=Moment(30, "e"), last=Moment(90, "f"))
    assert (later.first_write, later.last_write) == (Moment(30, "e"), Moment(90, "f"))
    assert ledger.wrote(record, first=None, last=None) == record


def test_a_whole_life_is_written_in_lines_that_say_it_all() -> None:
    record = _lived(first=Moment(40, "a"), last=Moment(80, "b"))
    lines = ledger.lines(None, record, cluster="prod")
    assert len(lines) == 5
    assert ledger.replay(b"".join(lines), cluster="prod", name="ledger.jsonl") == (record,)
    for kept in range(1, len(lines)):
        (known,) = ledger.replay(b"".join(lines[:kept]), cluster="prod", name="ledger.jsonl")
        assert ledger.lines(known, record, cluster="prod") == lines[kept:], "what is there is not said again"


def test_another_life_of_the_same_name_is_refused() -> None:
    record = _lived()
    other = ledger.admit((), _KEY, origin="imported", at="day 1")
    further = ledger.change(record, "compromised", at="day 4")
    for known in (other, further, replace(record, fingerprint="00" * 16)):
        with pytest.raises(RefusedError) as told:
            ledger.lines(known, record, cluster="prod")
        assert told.value.rule == "R5"


@pytest.mark.parametrize("change", [{"write": "middle"}, {"revision": "many"}, {"name": "unknown"}, {"revision": 4}])
def test_a_line_of_a_write_that_says_nothing_right_is_damaged(change: dict[str, object]) -> None:
    *before, last = ledger.lines(None, _lived(first=Moment(40, "a")), cluster="prod")
    broken = json.dumps(json.loads(last) | change).encode() + b"\n"
    with pytest.raises(UnusableInputError, match=r"ledger\.jsonl:4"):
        ledger.replay(b"".join((*before, broken)), cluster="prod", name="ledger.jsonl")
