"""Names of keys, plugins and resources, fit to be printed: whoever wrote the file may have put a key in their place.

The one guard for all of them. Pure; knows no file and no key, so it goes by what a text looks like.
"""

from __future__ import annotations

import re

from keyctl.keys.key import KeyRef

_START = 4

# 16 bytes or more as hex digits, of which some are letters and some are not, or as pairs of them. A UUID, which is an
# ordinary name, has hyphens.
_HEX = re.compile(
    r"(?<![0-9A-Fa-f])(?=[0-9]*[A-Fa-f])(?=[A-Fa-f]*[0-9])[0-9A-Fa-f]{32,}"
    r"|(?:(?:0[xX])?[0-9A-Fa-f]{2}[:, ]{1,2}){15}(?:0[xX])?[0-9A-Fa-f]{2}"
)
# 16 bytes or more as base64 with its padding, which no name has.
_PADDED = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{22,}={1,2}(?![A-Za-z0-9+/_=-])")
_RUNS = (re.compile(r"[A-Za-z0-9+/_-]+"), re.compile(r"[A-Za-z0-9+/]+"))
# Characters of the base64 of 16 bytes without padding; what is longer may be a key with something beside it.
_SHORTEST = 22
_MIXED_CASE = re.compile(r"(?=.*[a-z])(?=.*[A-Z]).*")
# Words in either case, abbreviations, numbers, and what stands between them. When the padding is left out, this fits
# the base64 of 8 in 1,000 random keys of 16 bytes, of 1 in 1,000 of 24 bytes, and of 1 in 10,000 of 32.
_ORDINARY = re.compile(r"(?:[A-Z]?[a-z]{2,}|[A-Z]+(?![a-z])|[0-9]+(?![a-z])|[-_+/])+")


def reads_like_key(text: str) -> bool:
    """Whether `text` is, or has in it, what looks like the hex digits or the base64 of a key of 16 bytes or more.

    Never so for words, numbers and the marks between them, whatever their length, nor for a UUID or a name that
    keyctl makes. The other way it may err: a text that was encoded by nobody can be a key, too.
    """
    if _HEX.search(text) or _PADDED.search(text):
        return True
    return any(_is_base64(run) for runs in _RUNS for run in runs.findall(text))


def shortened(name: str) -> str:
    """`name`; of one that reads like a key only its first four characters, and a sign that more follow."""
    return f"{name[:_START]}…" if reads_like_key(name) else name


def shown_name(name: str) -> str:
    """`name` as a message or a table may have it: `shortened`, on one line, nothing in it that acts on a terminal."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in shortened(name))


def shown_ref(ref: KeyRef) -> str:
    """A key by its provider and `shown_name`."""
    return f"{ref.provider}/{shown_name(ref.name)}" if ref.name else str(ref.provider)


def _is_base64(run: str) -> bool:
    return len(run) >= _SHORTEST and _MIXED_CASE.fullmatch(run) is not None and _ORDINARY.fullmatch(run) is None
