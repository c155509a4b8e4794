"""What counts as a mistake of keyctl on one input: a wrong exception, a key in what is said, or more than a line."""

from __future__ import annotations

import base64
import re
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePath

from keyctl.errors import KeyctlError
from tests.fuzz.seeds import SECRETS

# Characters. Outside a field for secrets 22 of base64 in a row read like a key; mutations put shorter shreds into
# names, which messages and diffs quote.
_WINDOW = 24
_BEGINNING = 60
_NOT_TEMPLATE = re.compile(r"[0-9]+|\".*?\"|'.*?'")


@dataclass(frozen=True, slots=True)
class Said:
    """What came of one input: `kind` tells outcomes apart, `lines` go to a reader, `shown` to a debugger at most.

    `quoting` are lines that may repeat a name or a path of a file without keys, `diff` those of a file, masked.
    """

    kind: str
    lines: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    quoting: tuple[str, ...] = ()
    diff: tuple[str, ...] = ()

    @property
    def template(self) -> str:
        """How the lines begin, without numbers and quotations: a new template makes an input worth keeping."""
        return f"{self.kind} {sorted({_NOT_TEMPLATE.sub('#', line)[:_BEGINNING] for line in self.lines})}"


@dataclass(frozen=True, slots=True)
class Mistake:
    """`place` is the same for the same mistake on another input; `told` is for whoever looks for its cause."""

    place: str
    told: str


Target = Callable[[bytes], Said]


def refused(error: KeyctlError) -> Said:
    """An expected refusal, with everything that a user or a debugger may see of it."""
    lines = (str(error), *(error.cause or "").splitlines(), *error.hints)
    return Said(f"{type(error).__name__} {error.rule}", lines, (repr(error), repr(error.__dict__)))


def try_out(target: Target, content: bytes) -> tuple[str, Mistake | None]:
    """The template of what `target` says of `content`, and the mistake if it is one."""
    try:
        said = target(content)
    except KeyctlError as error:
        said = refused(error)
    except Exception as error:  # noqa: BLE001 — whatever it is, it is what was looked for
        return type(error).__name__, _crash(target, error)
    return said.template, next(_mistakes(target, said), None)


def _mistakes(target: Target, said: Said) -> Iterator[Mistake]:
    for text in (*said.lines, *said.shown):
        if leak := leaked(text):
            yield Mistake(f"leak {_name(target)} {said.kind}", f"a key's {leak!r} is in {text!r}")
    for line in said.diff:
        if leak := leaked(line):
            yield Mistake(f"leak {_name(target)} diff", f"a key's {leak!r} is in {line!r}")
    for line in (*said.lines, *said.quoting, *(line.replace("\t", "") for line in said.diff)):
        if not line.isprintable():
            yield Mistake(f"line {_name(target)} {said.kind}", f"not one printable line: {line!r}")


def leaked(text: str) -> str | None:
    """The first part of a key that `text` has; None when it has none."""
    parts = (text[i : i + _WINDOW] for i in range(len(text) - _WINDOW + 1))
    return next((part for part in parts if part in _WINDOWS), None)


def _crash(target: Target, error: Exception) -> Mistake:
    last = traceback.extract_tb(error.__traceback__)[-1]
    told = "".join(traceback.format_exception(error))
    return Mistake(f"crash {_name(target)} {type(error).__name__} {PurePath(last.filename).name}:{last.lineno}", told)


def _name(target: Target) -> str:
    return getattr(target, "__name__", "target")


def _forms(secret: str) -> Iterator[str]:
    """A key's text, and its bytes as Python, hexadecimal and base64 show them."""
    yield secret
    raw = secret.encode()
    materials = [raw]
    if len(secret) % 4 == 0 and re.fullmatch(r"[A-Za-z0-9+/]+=*", secret):
        materials.append(base64.b64decode(secret))
    for material in materials:
        yield from (material.decode("latin-1"), repr(material), material.hex(), base64.b64encode(material).decode())


_WINDOWS = frozenset(
    form[start : start + _WINDOW]
    for secret in SECRETS
    for form in _forms(secret)
    for start in range(len(form) - _WINDOW + 1)
)
