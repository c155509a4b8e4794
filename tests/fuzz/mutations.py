"""Changes of a text at the level of bytes, lines and tokens. All chance comes from the generator given."""

from __future__ import annotations

import codecs
import random
import re
from collections.abc import Callable

from tests.fuzz.words import WORDS

# Longer inputs are cut: size alone is what `hostile` is for.
LONGEST = 1 << 14

_TOKEN = re.compile(rb"[A-Za-z0-9_./+*=-]+|[ \t]+|\r?\n|.", re.DOTALL)
Mutation = Callable[[bytes, bytes, random.Random], bytes]


def mutate(content: bytes, other: bytes, chance: random.Random) -> bytes:
    """`content` with one change, or a few; parts of `other` may get into it."""
    for _ in range(1 + min(int(chance.expovariate(0.7)), 12)):
        content = chance.choice(_MUTATIONS)(content, other, chance)[:LONGEST]
    return content


def _cut(chance: random.Random, size: int, longest: int) -> tuple[int, int]:
    start = chance.randint(0, size)
    return start, min(size, start + chance.randint(0, longest))


def _flip_bit(content: bytes, other: bytes, chance: random.Random) -> bytes:
    if not content:
        return b"a"
    place = chance.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << chance.randrange(8)]) + content[place + 1 :]


def _set_byte(content: bytes, other: bytes, chance: random.Random) -> bytes:
    place = chance.randint(0, len(content))
    return content[:place] + bytes([chance.randrange(256)]) + content[place + 1 :]


def _delete(content: bytes, other: bytes, chance: random.Random) -> bytes:
    start, end = _cut(chance, len(content), 24)
    return content[:start] + content[end:]


def _truncate(content: bytes, other: bytes, chance: random.Random) -> bytes:
    return content[: chance.randint(0, len(content))]


def _splice(content: bytes, other: bytes, chance: random.Random) -> bytes:
    start, end = _cut(chance, len(other), 200)
    at, until = _cut(chance, len(content), chance.choice((0, 0, 50)))
    return content[:at] + other[start:end] + content[until:]


def _cross(content: bytes, other: bytes, chance: random.Random) -> bytes:
    return content[: chance.randint(0, len(content))] + other[chance.randint(0, len(other)) :]


def _repeat(content: bytes, other: bytes, chance: random.Random) -> bytes:
    start, end = _cut(chance, len(content), 12)
    times = chance.choice((2, 2, 2, 3, 3, 60, 500))
    return content[:start] + content[start:end] * times + content[end:]


def _encode(content: bytes, other: bytes, chance: random.Random) -> bytes:
    match chance.randrange(5):
        case 0:
            return codecs.BOM_UTF8 + content
        case 1:
            return content.replace(b"\n", b"\r\n")
        case 2:
            return content.replace(b"\n", chance.choice((b"\r", "\x85".encode(), "\u2028".encode())))
        case 3:
            return content.decode("utf-8", "replace").encode("utf-16")
        case _:
            return content.decode("utf-8", "replace").encode("latin-1", "replace")


def _insert_word(content: bytes, other: bytes, chance: random.Random) -> bytes:
    at, until = _cut(chance, len(content), chance.choice((0, 0, 3)))
    return content[:at] + chance.choice(WORDS) + content[until:]


def _nest(content: bytes, other: bytes, chance: random.Random) -> bytes:
    at = chance.randint(0, len(content))
    opening, closing = chance.choice(((b"[", b"]"), (b"{a: ", b"}"), (b"- ", b""), (b'{"a":', b"}"), (b"? ", b"")))
    depth = chance.choice((1, 1, 2, 2, 49, 51, 2000))
    until = chance.randint(at, len(content))
    return content[:at] + opening * depth + content[at:until] + closing * depth + content[until:]


def _on_lines(content: bytes, other: bytes, chance: random.Random) -> bytes:
    lines = content.splitlines(keepends=True) or [b"\n"]
    place, second = chance.randrange(len(lines)), chance.randrange(len(lines))
    line = lines[place]
    match chance.randrange(9):
        case 0:
            del lines[place]
        case 1:
            lines[place : place + 1] = [line] * chance.choice((2, 2, 2, 3, 40))
        case 2:
            lines[place], lines[second] = lines[second], line
        case 3:
            lines.insert(second, lines.pop(place))
        case 4:
            lines[place] = chance.choice((b" ", b"  ", b"    ", b"\t", b"- ", b"  - ", b"# ")) + line
        case 5:
            lines[place] = line.removeprefix(
                chance.choice((b" ", b"  ", b"    ", line[: len(line) - len(line.lstrip(b" -"))]))
            )
        case 6:
            lines[place] = line.rstrip(b"\r\n") + chance.choice((b"", b" ", b"  # said\n", b":\n", b" |\n", b" >-\n"))
        case 7:
            # A whole block in or out, as an editor does it.
            until = min(len(lines), place + chance.randint(1, 12))
            shift = chance.choice((b"  ", b" ", b""))
            lines[place:until] = [shift + one if shift else one.removeprefix(b"  ") for one in lines[place:until]]
        case _:
            others = other.splitlines(keepends=True) or [b""]
            start = chance.randrange(len(others))
            lines[place:place] = others[start : start + chance.randint(1, 8)]
    return b"".join(lines)


def _on_tokens(content: bytes, other: bytes, chance: random.Random) -> bytes:
    tokens = _TOKEN.findall(content) or [b""]
    place, second = chance.randrange(len(tokens)), chance.randrange(len(tokens))
    match chance.randrange(7):
        case 0:
            del tokens[place]
        case 1:
            tokens.insert(second, tokens[place])
        case 2:
            tokens[place], tokens[second] = tokens[second], tokens[place]
        case 3:
            tokens[place] = chance.choice(WORDS)
        case 4:
            before, after = chance.choice(((b"'", b"'"), (b'"', b'"'), (b"[", b"]"), (b"{", b"}"), (b"{{ ", b" }}")))
            tokens[place] = before + tokens[place] + after
        case 5:
            tokens[place] = (
                chance.choice((b"!!str ", b"&a ", b"- ", b"? ", b"|\n  ", b">\n  ", b"*", b"# ")) + tokens[place]
            )
        case _:
            change: Callable[[bytes], bytes] = chance.choice((bytes.upper, bytes.lower, bytes.title, bytes.swapcase))
            tokens[place] = change(tokens[place])
    return b"".join(tokens)


_MUTATIONS: tuple[Mutation, ...] = (
    _flip_bit,
    _set_byte,
    _delete,
    _truncate,
    _splice,
    _cross,
    _repeat,
    _encode,
    _nest,
    *[_insert_word] * 3,
    *[_on_lines] * 6,
    *[_on_tokens] * 6,
)
