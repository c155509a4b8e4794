"""Tell each content once, in a few bytes of memory a content. Keeps digests, never the content."""

from __future__ import annotations

import secrets
from array import array
from collections import defaultdict
from hashlib import blake2b

_DIGEST_BYTES = 8
# A digest's upper bits choose its group: groups stay short enough to be searched one by one.
_GROUP_SHIFT = 48


class Distinct:
    """The contents met so far. A million of them take about 20 MB."""

    def __init__(self) -> None:
        # NOTE: with a key of its own a run cannot be made to take two stored values for one.
        self._secret = secrets.token_bytes(16)
        self._groups: defaultdict[int, array[int]] = defaultdict(lambda: array("Q"))

    def add(self, content: bytes) -> bool:
        """Remember `content`; whether it was new."""
        digest = int.from_bytes(blake2b(content, digest_size=_DIGEST_BYTES, key=self._secret).digest(), "big")
        group = self._groups[digest >> _GROUP_SHIFT]
        if digest in group:
            return False
        group.append(digest)
        return True
