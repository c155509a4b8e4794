"""Values as a file's reader delivers them, one close behind the other: what is read too far is another value."""

from __future__ import annotations

from collections.abc import Iterable

from keyctl.stored.source import PLACE, Packed, Value


def packed(values: Iterable[Value]) -> Packed:
    """`values` in one stretch."""
    content, places = b"", b""
    for key, value, revision in values:
        at, key_at, value_at = len(content), len(content) + 8, len(content) + 8 + len(key)
        content += revision.to_bytes(8, "big") + key + value
        places += PLACE.pack(at, key_at, value_at, value_at, len(content))
    return Packed(((content, places),))
