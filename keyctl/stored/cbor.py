"""As much of CBOR (RFC 8949) as custom resources are stored in.

Whoever wrote the bytes, what comes out is a value or None, never an exception.
Strings stand as byte strings or text strings; numbers and simple values, which
nothing here asks for, are decoded to None.
"""

from __future__ import annotations

# The self-described tag, which Kubernetes puts in front: k8s.io/apimachinery pkg/runtime/serializer/cbor.
MAGIC = b"\xd9\xd9\xf7"

_DEEPEST = 64
_BREAK = object()


class _DamagedError(ValueError):
    pass


def decode(data: bytes) -> object | None:
    """The one value behind the magic: dict, list, str or None; None also when the bytes are damaged."""
    if not data.startswith(MAGIC):
        return None
    try:
        value, at = _value(data, len(MAGIC), _DEEPEST)
    except (_DamagedError, IndexError):
        return None
    return value if at == len(data) else None


def _value(data: bytes, at: int, depth: int) -> tuple[object, int]:
    if depth == 0:
        raise _DamagedError
    major, short = data[at] >> 5, data[at] & 31
    if major == 7:
        return _simple(data, at, short)
    argument, at = _argument(data, at + 1, short)
    match major:
        case 0 | 1:
            return None, at
        case 2 | 3:
            return _string(data, at, argument, depth)
        case 4:
            return _items(data, at, argument, depth)
        case 5:
            pairs, at = _items(data, at, None if argument is None else 2 * argument, depth)
            return _mapping(pairs), at
        case _:
            return _value(data, at, depth - 1)


def _argument(data: bytes, at: int, short: int) -> tuple[int | None, int]:
    """The head's number; None for an indefinite length."""
    if short < 24:
        return short, at
    if short == 31:
        return None, at
    if short > 27:
        raise _DamagedError
    size = 1 << (short - 24)
    if at + size > len(data):
        raise _DamagedError
    return int.from_bytes(data[at : at + size], "big"), at + size


def _simple(data: bytes, at: int, short: int) -> tuple[object, int]:
    if short == 31:
        return _BREAK, at + 1
    _, at = _argument(data, at + 1, short)
    return None, at


def _string(data: bytes, at: int, size: int | None, depth: int) -> tuple[object, int]:
    if size is None:
        parts, at = _items(data, at, None, depth)
        if not all(isinstance(part, str) for part in parts):
            raise _DamagedError
        return "".join(part for part in parts if isinstance(part, str)), at
    if at + size > len(data):
        raise _DamagedError
    # NOTE: binary data also stands in byte strings; it is never asked for, so how it decodes does not matter.
    return data[at : at + size].decode("utf-8", "backslashreplace"), at + size


def _items(data: bytes, at: int, count: int | None, depth: int) -> tuple[list[object], int]:
    items: list[object] = []
    while count is None or len(items) < count:
        item, at = _value(data, at, depth - 1)
        if item is _BREAK:
            if count is None:
                return items, at
            raise _DamagedError
        items.append(item)
    return items, at


def _mapping(pairs: list[object]) -> dict[str, object]:
    if len(pairs) % 2:
        raise _DamagedError
    names = [name for name in pairs[::2] if isinstance(name, str)]
    if len(names) * 2 != len(pairs):
        raise _DamagedError
    return dict(zip(names, pairs[1::2], strict=True))
