"""Protobuf, written: the few fields that etcd's records and Kubernetes' objects need. Knows no message type."""

from __future__ import annotations

_VARINT, _LENGTH_DELIMITED = 0, 2


def text(number: int, content: bytes) -> bytes:
    """A length-delimited field; it stands there also when it is empty, as Kubernetes writes it."""
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(content)) + content


def integer(number: int, value: int) -> bytes:
    """A varint field."""
    return _varint(number << 3 | _VARINT) + _varint(value)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
