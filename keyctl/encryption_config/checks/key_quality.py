"""Whether the bytes of a key can have come from a random generator, and if not, what they probably are.

Judges keys of 16, 24 or 32 bytes, which is what loads, and the base64 text they were read from. What it says holds
counts and kinds, never a byte or a character. That it finds nothing proves nothing: a weak generator's bytes can look
like random ones.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from keyctl.encryption_config.checks.published_keys import looks_like_placeholder
from keyctl.encryption_config.checks.word_digests import word_digest

# A key that repeats this many bits or fewer can be found by trying.
_SEARCHABLE_BITS = 64

# The most different values among n bytes that still are too few. For random bytes the chance of k or fewer, by the
# recurrence P(n+1, k) = P(n, k)·k/256 + P(n, k-1)·(257-k)/256, is 2^-40.5 for 7 of 16, 2^-41.9 for 12 of 24 and
# 2^-43.0 for 17 of 32; one more would give 2^-33.2, 2^-35.8 and 2^-37.7.
_TOO_FEW_VALUES = {16: 7, 24: 12, 32: 17}

# Bytes in a row that are equal, or count in equal steps: the first two decide the others, so that r of n random bytes
# do so with a chance of (n-r+1)·256^(2-r) at most. That is 2^-43.4 for 8 of 32; 7 would give 2^-35.3.
_RUN = 8

# Printable ASCII; letters and marks of Latin, Greek, Cyrillic, Hebrew and Arabic (462, of two bytes in UTF-8); those of
# Devanagari, Thai, Chinese, Japanese and Korean, accents on accents, dashes and quotes (32,967 of three); and emoji
# (2,048 of four). The number of texts of n bytes is t(n) = 98·t(n-1) + 462·t(n-2) + 32967·t(n-3) + 2048·t(n-4). So
# random bytes are one with a chance of 2^-41.1 for the 32 that keyctl and the documentation make (ASCII alone:
# 2^-44.3), 2^-30.9 for 24 and 2^-20.6 for 16, where somebody's text is still by far the likelier reason. More letters,
# or one that was cut through at the end, would bring the 32 above 2^-40. Filled up with other bytes: 2^-45.7.
#
# All that this module looks for is told of a random key of 32 bytes with a chance of 2^-40.5.
_TEXT = re.compile(
    "[\t\r\n -~\u00a1-\u017f\u0386-\u03ce\u0400-\u045f\u05d0-\u05ea\u0620-\u064a"
    "\u0900-\u097f\u0e01-\u0e5b\u1e00-\u1eff\u2010-\u2027\u2030-\u205e\u20ac\u3000-\u30ff\u4e00-\u9fff\uac00-\ud7a3"
    "\U0001f300-\U0001faff]+"
)
# How many of these there are, by the bytes that one takes.
_CHARACTERS = {1: 95, 2: 462, 3: 32_967, 4: 2_048}

# Text that was not encoded at all, but happens to be base64 of 24 bytes, being 32 characters of the alphabet. Base64 of
# random bytes is all of one case with a chance of 2·(26/64)^32 = 2^-40.6, all hex digits of one case with 2^-63.
_UNENCODED = re.compile(r"[0-9a-f]+|[0-9A-F]+|[a-z]+|[A-Z]+")

_BASE64 = re.compile(r"(?=.*[a-z])(?=.*[A-Z])([A-Za-z0-9+/]+={1,2}|[A-Za-z0-9+/]*[+/][A-Za-z0-9+/]*)")
# The smallest alphabet that has all characters of a text decides; the number is its size.
_ALPHABETS = (
    (re.compile(r"[0-9]*"), 10, "digits"),
    (re.compile(r"[0-9a-f]*|[0-9A-F]*"), 16, "hex digits"),
    (re.compile(r"[a-z]*|[A-Z]*"), 26, "letters"),
    (re.compile(r"[a-z0-9]*|[A-Z0-9]*"), 36, "letters and digits"),
    (re.compile(r"[A-Za-z]*"), 52, "letters"),
    (re.compile(r"[A-Za-z0-9]*"), 62, "letters and digits"),
    (re.compile(r".*", re.DOTALL), 95, "printable characters"),
)


class Kind(Enum):
    """How weak a key is: found by trying, text with less in it than its length says, or not random."""

    GUESSABLE = "guessable"
    TEXT = "text"
    LOW_ENTROPY = "low entropy"


@dataclass(frozen=True, slots=True)
class Weakness:
    """What is wrong with a key, in words that follow its name and a colon."""

    kind: Kind
    message: str


_WORST_FIRST = tuple(Kind)


def weakness_of(key: bytes, text: str) -> Weakness | None:
    """The worst that can be said of `key`, which was read from the base64 `text`; None when nothing is."""
    return min(_weaknesses(key, text), key=lambda one: _WORST_FIRST.index(one.kind), default=None)


def _weaknesses(key: bytes, text: str) -> Iterator[Weakness]:
    period = _period(key)
    if period == 1:
        yield Weakness(Kind.GUESSABLE, "all bytes are equal")
    elif period * 8 <= _SEARCHABLE_BITS:
        yield Weakness(Kind.GUESSABLE, f"the same {period} bytes over and over")
    algorithm = word_digest(key)
    if algorithm is not None:
        yield Weakness(Kind.GUESSABLE, f"the {algorithm} digest of a word or of nothing, which everyone tries first")
    inner = next(filter(None, map(_as_text, (key[:period], key.strip(b"\0"), _without_filling(key)))), None)
    if inner is not None:
        yield _text_weakness(inner, len(key), filled=period == len(key) and len(inner.encode()) < len(key))
    packed = text.replace("\r", "").replace("\n", "")
    if _UNENCODED.fullmatch(packed):
        bits, what = _alphabet_bits(packed)
        yield Weakness(Kind.TEXT, f"{what} that were never encoded: {_at_most(bits, len(key))}")
    if period < len(key):
        yield Weakness(Kind.LOW_ENTROPY, f"the same {period} bytes over and over: {_at_most(period * 8, len(key))}")
    if len(set(key)) <= _TOO_FEW_VALUES[len(key)]:
        yield Weakness(Kind.LOW_ENTROPY, f"only {len(set(key))} different values in {len(key)} bytes")
    yield from _run_weakness(key)


def _run_weakness(key: bytes) -> Iterator[Weakness]:
    steps = ((after - before) % 256 for before, after in itertools.pairwise(key))
    run, step = max((len(list(group)) + 1, step) for step, group in itertools.groupby(steps))
    if run < _RUN or (run, step) == (len(key), 0):
        return
    if run == len(key):
        yield Weakness(Kind.GUESSABLE, "bytes that count up or down")
        return
    kind = Kind.GUESSABLE if (len(key) - run) * 8 <= _SEARCHABLE_BITS else Kind.LOW_ENTROPY
    what = "that count up or down" if step else "that are equal"
    yield Weakness(kind, f"{run} bytes in a row {what}, of {len(key)}")


def _text_weakness(text: str, length: int, *, filled: bool) -> Weakness:
    bare = text.rstrip()
    line_break = ", with a line break at its end" if bare != text.rstrip(" ") else ""
    line_break += ", filled up to the length of a key" * filled
    if looks_like_placeholder(bare):
        return Weakness(Kind.GUESSABLE, f"text that reads like a placeholder or a first guess{line_break}")
    inner = _decoded(bare)
    if inner is not None:
        return Weakness(Kind.TEXT, f"base64 text, so it was encoded twice{line_break}: {_at_most(inner * 8, length)}")
    bits, what = _alphabet_bits(bare)
    cause = "hex digits, not the bytes they stand for" if what == "hex digits" else f"text of {what}"
    kind = Kind.GUESSABLE if filled and len(text.encode()) * 8 <= _SEARCHABLE_BITS else Kind.TEXT
    return Weakness(kind, f"{cause}{line_break}: {_at_most(bits, length)}")


def _as_text(key: bytes) -> str | None:
    try:
        text = key.decode()
    except UnicodeDecodeError:
        return None
    return text if _TEXT.fullmatch(text) else None


def _without_filling(key: bytes) -> bytes:
    """`key` less the bytes that fill a text up: one over and over at the end, or as padding of one byte (PKCS#7)."""
    inner = key.rstrip(key[-1:])
    return inner if len(key) - len(inner) > 1 or key[-1] == 1 else key


def _at_most(bits: int, length: int) -> str:
    return f"at most {bits} of {length * 8} bits"


def _alphabet_bits(text: str) -> tuple[int, str]:
    """Bits in `text` if its characters were drawn at random from its alphabet, rounded down; the alphabet's name."""
    if not text.isascii():
        bits = sum(math.log2(_CHARACTERS[len(character.encode())]) for character in text)
        return math.floor(bits), "letters or signs beyond ASCII"
    size, what = next((size, what) for pattern, size, what in _ALPHABETS if pattern.fullmatch(text))
    return math.floor(len(text) * math.log2(size)), what


def _decoded(text: str) -> int | None:
    """How many bytes the base64 `text` stands for; None when it does not look like base64."""
    if len(text) % 4 or not _BASE64.fullmatch(text):
        return None
    try:
        return len(base64.b64decode(text, validate=True))
    except binascii.Error:
        return None


def _period(key: bytes) -> int:
    """The length of the part that `key` repeats at least twice, the last time perhaps cut short; else its length."""
    return next((size for size in range(1, len(key) // 2 + 1) if key[size:] == key[:-size]), len(key))
