from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyctl.stored.protobuf import DamagedError, chunks, fields, varint
from tests.support import seal


@given(st.integers(0, 2**63))
def test_a_varint_comes_back(number: int) -> None:
    raw = seal._varint(number)
    assert varint(raw, 0, len(raw)) == (number, len(raw))


def test_every_wire_type_is_passed_over() -> None:
    message = b"\x08\x96\x01" + b"\x11" + b"8" * 8 + b"\x1a\x02ab" + b"\x25" + b"4" * 4
    assert [(number, message[start:end]) for number, _, start, end in fields(message, 0, len(message))] == [
        (1, b"\x96\x01"),
        (2, b"8" * 8),
        (3, b"ab"),
        (4, b"4" * 4),
    ]


@pytest.mark.parametrize(
    "message",
    [b"\x80", b"\x80" * 11 + b"\x01", b"\x0a\x05abc", b"\x0b", b"\x02\x00", b"\x11\x00", b"\x0a\xff\xff\xff\xff\x0f"],
    ids=["open varint", "endless varint", "short chunk", "group", "field zero", "short fixed", "huge chunk"],
)
def test_a_damaged_message_is_named(message: bytes) -> None:
    with pytest.raises(DamagedError):
        chunks(message, 0, len(message))


def test_the_last_of_equal_fields_wins() -> None:
    assert chunks(b"\x0a\x01a\x0a\x01b", 0, 6) == {1: (5, 6)}
