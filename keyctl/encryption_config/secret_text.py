"""The text of a key's secret: its bytes as kube-apiserver decodes them, and what a refused one may have been meant as.

Says so in counts, decides nothing, and never repeats the text.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_HEX = re.compile(r"[0-9A-Fa-f]+")
_WORD = re.compile(r"[!-~]+")
# What people and templates write where a key is to go, and nobody fills in.
_PLACEHOLDER = re.compile(r"[<>${}]|\A[^A-Za-z0-9+/]*\Z")
_URL_SIGNS = str.maketrans("-_", "+/")


@dataclass(frozen=True, slots=True)
class Reading:
    """Key bytes of a length that the provider takes, and in which way the text holds them."""

    meaning: str
    material: bytes = field(repr=False)


def decode_secret(text: str) -> bytes | None:
    """The bytes of a key's base64 text as Go's StdEncoding reads it, CR and LF skipped; None when it does not."""
    packed = text.replace("\r", "").replace("\n", "")
    # Python would take a padding that nothing needs.
    if len(packed) % 4 or not re.fullmatch(r"[A-Za-z0-9+/]*={0,2}", packed):
        return None
    return base64.b64decode(packed)


def encoded(material: bytes) -> str:
    """The base64 text of `material`, as kube-apiserver wants it."""
    return base64.b64encode(material).decode("ascii")


def readings(text: str, lengths: tuple[int, ...]) -> tuple[Reading, ...]:
    """Every way to find a key of one of `lengths` in bytes in `text`, which is refused; the same bytes once."""
    if _PLACEHOLDER.search(text):
        return ()
    found: dict[bytes, Reading] = {}
    for reading in (*_decoded(text), *_as_it_stands(text)):
        if len(reading.material) in lengths:
            found.setdefault(reading.material, reading)
    return tuple(found.values())


def cause_of(text: str, lengths: tuple[int, ...]) -> str | None:
    """What a refused `text` probably is, in counts only; None when nothing more is known than that it is refused.

    `lengths` are those that the provider takes, in bytes.
    """
    if _PLACEHOLDER.search(text):
        return f"a placeholder of {len(text)} characters: nobody fills it in" if text else None
    meanings = " or ".join(reading.meaning for reading in readings(text, lengths))
    if meanings or decode_secret(text) is not None:
        return meanings or None
    return f"it has {len(text)} characters"


def _decoded(text: str) -> Iterator[Reading]:
    """Readings of what the base64 text holds."""
    material = decode_secret(text)
    if material is None:
        return
    size = len(material)
    inner = decode_secret(material.decode("ascii", "replace").strip())
    if inner is not None:
        meaning = f"decodes to {size} bytes that are themselves the base64 of {len(inner)} bytes: encoded twice"
        yield Reading(meaning, inner)
    if material.endswith(b"\n"):
        meaning = f"decodes to {size} bytes that end with a line break: it was encoded together with the key"
        yield Reading(meaning, material.removesuffix(b"\n").removesuffix(b"\r"))


def _as_it_stands(text: str) -> Iterator[Reading]:
    """Readings of the text as something else than base64."""
    word = text.strip()
    decoded = decode_secret(word)
    if _WORD.fullmatch(word):
        but = f" that decode to {len(decoded)} bytes" if decoded is not None else " that are no base64"
        yield Reading(f"{len(word)} characters{but}: not encoded", word.encode())
    if _HEX.fullmatch(word) and len(word) % 2 == 0:
        yield Reading(f"{len(word)} hexadecimal digits, which are {len(word) // 2} bytes", bytes.fromhex(word))
    if decoded is not None:
        if word != text:
            meaning = f"{len(text)} characters of base64 with white space around it, which is {len(decoded)} bytes"
            yield Reading(meaning, decoded)
        return
    joined = "".join(word.split())
    bare = joined.rstrip("=").translate(_URL_SIGNS)
    material = decode_secret(bare + "=" * (-len(bare) % 4))
    if material is not None:
        inside = joined != word
        wrong = "for URLs" if bare != joined.rstrip("=") else f"with {'white space' if inside else 'wrong padding'}"
        yield Reading(f"{len(word)} characters of base64 {wrong}, which are {len(material)} bytes", material)
