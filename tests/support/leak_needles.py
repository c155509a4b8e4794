"""The forms in which key bytes can show, and the search for many of them at once.

Pure: keys and bytes in, places out. A place says which form was found and where,
never what.

Every form is 15 bytes long or more, so wherever it stands, it covers one whole
word of 8 bytes at an offset that 8 divides. One look at each such word of a text
therefore finds every form, and costs the same for one key and for ten thousand.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

_WORD = 8
_SHORTEST = 2 * _WORD - 1
_FEWEST_DISTINCT = 10
_PRINTABLE = frozenset(range(0x20, 0x7F))
# At a time: small enough for the cache of a processor, and a stretch of zeros is passed over as a whole.
_CHUNK = 1 << 18
_ZEROS = bytes(_CHUNK)


@dataclass(frozen=True, slots=True)
class Hit:
    """One form of one key at `offset`. `length` is that of the form."""

    encoding: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class _Form:
    encoding: str
    text: bytes = field(repr=False)


class Needles:
    """Every form of `keys`; patterns and readable texts are left out and counted, for they prove nothing."""

    def __init__(self, keys: Iterable[bytes]) -> None:
        distinct = set(keys)
        chosen = {key for key in distinct if is_secret(key)}
        self.keys, self.left_out = len(chosen), len(distinct) - len(chosen)
        self._forms: dict[int, list[_Form]] = {}
        for key in chosen:
            for form in _forms(key):
                for start in range(_WORD):
                    word = form.text[start : start + _WORD]
                    self._forms.setdefault(int.from_bytes(word, sys.byteorder), []).append(form)
        self._words = frozenset(self._forms)

    def found_in(self, content: memoryview) -> Iterator[Hit]:
        """Every form in `content`, each place once."""
        seen: set[tuple[int, str]] = set()
        for start in range(0, len(content), _CHUNK):
            chunk = content[start : start + _CHUNK]
            whole = chunk[: len(chunk) // _WORD * _WORD]
            # NOTE: a view is compared byte by byte, a copy of it at once.
            if chunk.tobytes() == _ZEROS or self._words.isdisjoint(whole.cast("Q")):
                continue
            for number, word in enumerate(whole.cast("Q")):
                for form in self._forms.get(word, ()):
                    for hit in _around(content, start + number * _WORD, form):
                        if (hit.offset, hit.encoding) not in seen:
                            seen.add((hit.offset, hit.encoding))
                            yield hit


def is_secret(key: bytes) -> bool:
    """Whether `key` can only be found where it was put: no counting sequence, no few bytes repeated, no text."""
    steps = {(after - before) % 256 for before, after in pairwise(key)}
    return len(set(key)) >= _FEWEST_DISTINCT and len(steps) > 1 and not _PRINTABLE.issuperset(key)


def encodings_of(key: bytes) -> frozenset[str]:
    """The names of the forms that are looked for; two alphabets are two only where `key` differs between them."""
    return frozenset(form.encoding for form in _forms(key))


def _around(content: memoryview, place: int, form: _Form) -> Iterator[Hit]:
    """Where `form` stands whole, given that one of its first words stands at `place`."""
    for back in range(_WORD):
        start = place - back
        if start >= 0 and content[start : start + len(form.text)] == form.text:
            yield Hit(form.encoding, start, len(form.text))


def _forms(key: bytes) -> Iterator[_Form]:
    forms = [("raw", key), ("hex", key.hex().encode()), ("hex in capitals", key.hex().upper().encode())]
    for before in range(3):
        standard = _whole_characters(key, before)
        forms.append((f"base64 after {before} other bytes" if before else "base64", standard))
        url = standard.translate(bytes.maketrans(b"+/", b"-_"))
        if url != standard:
            forms.append((f"base64url after {before} other bytes" if before else "base64url", url))
    # A configuration as the content of something: a Secret, a report.
    inner = base64.b64encode(key)
    forms += [(f"base64 of base64 after {before} other bytes", _whole_characters(inner, before)) for before in range(3)]
    forms.append(("Python's repr", repr(key)[2:-1].encode()))
    for encoding, text in forms:
        if len(text) < _SHORTEST:
            raise ValueError(f"{encoding} of a key of {len(key)} bytes is too short to be looked for")
        yield _Form(encoding, text)


def _whole_characters(key: bytes, before: int) -> bytes:
    """The characters of base64 that depend on `key` alone, when `before` other bytes (modulo 3) come before it."""
    first, behind = -(-before * 8 // 6), (before + len(key)) * 8 // 6
    return base64.b64encode(bytes(before) + key)[first:behind]
