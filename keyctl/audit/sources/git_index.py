"""Whether Git tracks a file, told by its index. Bytes in, an answer out; starts no program."""

from __future__ import annotations

_SIGNATURE = b"DIRC"
# In these versions each path stands in full, behind flags that hold its length.
_WITH_WHOLE_PATHS = (2, 3)
_LONGEST = 0xFFF


def is_tracked(index: bytes, path: bytes) -> bool | None:
    """Whether `path`, with slashes and relative to the work tree, is in `index`; None where the form cannot tell."""
    if index[:4] != _SIGNATURE or int.from_bytes(index[4:8], "big") not in _WITH_WHOLE_PATHS:
        return None
    length = min(len(path), _LONGEST)
    at = index.find(path + b"\0", 12)
    while at != -1:
        # Two bytes of flags before the path, or before them two more that only version 3 has.
        for flags in (index[at - 2 : at], index[at - 4 : at - 2]):
            if int.from_bytes(flags, "big") & _LONGEST == length:
                return True
        at = index.find(path + b"\0", at + 1)
    # A shared index holds paths that are not here.
    return None if b"link" in index[-4096:] else False
