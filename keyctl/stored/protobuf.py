"""Walk one level of a protobuf message, whoever wrote it. Knows no message type.

Stored bytes are hostile: every length is checked, and nothing is copied that
is not asked for.
"""

from __future__ import annotations

from collections.abc import Iterator

LENGTH_DELIMITED = 2
_VARINT = 0
_FIXED_SIZES = {1: 8, 5: 4}
_LONGEST_VARINT = 10


class DamagedError(ValueError):
    """The bytes are no protobuf message. Never leaves `keyctl.stored`."""


def varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """The number at `at` and where it ends. Raises `DamagedError` when it does not end before `end`."""
    if at + 1 < end:
        # Most numbers have one byte or two.
        low, high = data[at], data[at + 1]
        if low < 0x80:
            return low, at + 1
        if high < 0x80:
            return low & 0x7F | high << 7, at + 2
    number = shift = 0
    for position in range(at, min(end, at + _LONGEST_VARINT)):
        byte = data[position]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position + 1
        shift += 7
    raise DamagedError


def fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (field number, wire type, start, end) of each field of the message in `data[at:end]`.

    Raises `DamagedError` at the first field that does not fit.
    """
    while at < end:
        tag, start = varint(data, at, end)
        kind = tag & 7
        if kind == LENGTH_DELIMITED:
            size, start = varint(data, start, end)
            at = start + size
        elif kind == _VARINT:
            _, at = varint(data, start, end)
        elif kind in _FIXED_SIZES:
            at = start + _FIXED_SIZES[kind]
        else:
            raise DamagedError
        if at > end or tag < 8:
            raise DamagedError
        yield tag >> 3, kind, start, at


def chunks(data: bytes, at: int, end: int) -> dict[int, tuple[int, int]]:
    """Where each length-delimited field of the message lies; the last of equal numbers wins, as in protobuf."""
    return {number: (start, stop) for number, kind, start, stop in fields(data, at, end) if kind == LENGTH_DELIMITED}
