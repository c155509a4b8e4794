"""What an unquoted YAML scalar means to Go, which is not what it means to Python. Pure; knows no document."""

from __future__ import annotations

import math
import re
from enum import Enum

_GO_BOOLS = frozenset(
    spelling
    for word in ("y", "yes", "true", "on", "n", "no", "false", "off")
    for spelling in (word, word.title(), word.upper())
)
_GO_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_GO_SPECIAL_FLOATS = frozenset({".nan", ".NaN", ".NAN"}) | {
    sign + word for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")
}
_GO_BASED = re.compile(r"(?P<sign>[-+]?)0(?:[xX](?P<x>[0-9a-fA-F]+)|[oO]?(?P<o>[0-7]+)|[bB](?P<b>[01]+))")
_GO_BINARY_SIGN_INSIDE = re.compile(r"0b[-+][01]{1,63}")
# strconv takes an underscore between digits when the number starts with a dot, where goyaml does not drop them first.
_GO_DOT_FLOAT = re.compile(r"\.[0-9]+(_[0-9]+)*([eE][-+]?[0-9]+(_[0-9]+)*)?")
_GO_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


class Kind(Enum):
    """What a scalar means to Go."""

    STRING = "string"
    NUMBER = "number"
    BOOL = "bool"
    NULL = "null"


def go_kind(plain: str) -> Kind:
    """What an unquoted YAML scalar means to goyaml v2, which sigs.k8s.io/yaml uses.

    Dates and times are strings there; yes/no/on/off/y/n are bools; underscores in numbers are dropped.
    """
    if plain in _GO_NULLS:
        return Kind.NULL
    if plain in _GO_BOOLS:
        return Kind.BOOL
    if plain in _GO_SPECIAL_FLOATS:
        return Kind.NUMBER
    if plain[0] == ".":
        return Kind.NUMBER if _is_go_float(plain, _GO_DOT_FLOAT) else Kind.STRING
    if plain[0] in "+-0123456789":
        digits = plain.replace("_", "")
        if _is_go_based(digits) or _is_go_float(digits) or _GO_BINARY_SIGN_INSIDE.fullmatch(digits):
            return Kind.NUMBER
    return Kind.STRING


def is_finite(number: str) -> bool:
    """Whether a number as `go_kind` knows it is neither infinite nor "not a number"."""
    return number not in _GO_SPECIAL_FLOATS


def _is_go_float(digits: str, pattern: re.Pattern[str] = _GO_FLOAT) -> bool:
    return pattern.fullmatch(digits) is not None and math.isfinite(float(digits))


def _is_go_based(digits: str) -> bool:
    match = _GO_BASED.fullmatch(digits)
    if match is None:
        return False
    value = int(match["x"] or match["o"] or match["b"], {"x": 16, "o": 8, "b": 2}[str(match.lastgroup)])
    limit = {"": 2**64 - 1, "+": 2**63 - 1, "-": 2**63}[match["sign"]]
    return value <= limit
