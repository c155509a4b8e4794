"""CRC-32C, by which etcd guards its write-ahead log. Guards against damage, not against anybody."""

from __future__ import annotations

import struct
from itertools import accumulate, repeat

_POLYNOMIAL = 0x82F63B78
_ONES = 0xFFFFFFFF
# Eight bytes a step: the first four as one number, because the sum so far goes into them.
_EIGHT = struct.Struct("<IBBBB")


def extend(checksum: int, data: bytes) -> int:
    """The checksum of what had `checksum` (0 for nothing) and then `data`."""
    t0, t1, t2, t3, t4, t5, t6, t7 = _TABLES
    state = checksum ^ _ONES
    whole = len(data) - len(data) % _EIGHT.size
    for word, b4, b5, b6, b7 in _EIGHT.iter_unpack(data[:whole]):
        word ^= state
        state = (
            t7[word & 0xFF]
            ^ t6[word >> 8 & 0xFF]
            ^ t5[word >> 16 & 0xFF]
            ^ t4[word >> 24]
            ^ t3[b4]
            ^ t2[b5]
            ^ t1[b6]
            ^ t0[b7]
        )
    for byte in data[whole:]:
        state = t0[(state ^ byte) & 0xFF] ^ state >> 8
    return state ^ _ONES


def _of_byte(state: int) -> int:
    for _ in range(8):
        state = state >> 1 ^ _POLYNOMIAL * (state & 1)
    return state


def _tables() -> tuple[tuple[int, ...], ...]:
    """Table n: what a byte makes of the state, n zero bytes later."""
    first = tuple(map(_of_byte, range(256)))
    return tuple(
        accumulate(
            repeat(None, 7), lambda table, _: tuple(first[state & 0xFF] ^ state >> 8 for state in table), initial=first
        )
    )


_TABLES = _tables()
