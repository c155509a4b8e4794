"""systemd units that start a program of the control plane, and the files of variables that they read."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator, Sequence

from keyctl.audit.sources.fragments import Line, Start, Unit, Variables
from keyctl.audit.sources.text import Text
from keyctl.findings import Location
from keyctl.hosts.pod import CONTROL_PLANE

Parts = tuple[tuple[str, Location], ...]

_VARIABLE = re.compile(r"(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)")
_IS_UNIT = re.compile(rb"^\[Service\][ \t]*\r?$", re.MULTILINE)
_IS_VARIABLES = re.compile(
    rb"""^(?:export[ \t]+)?(?:ETCD_[A-Z0-9_]+=|[A-Z][A-Z0-9_]*=["']?-{1,2}[a-z])""", re.MULTILINE
)


def is_unit(text: Text) -> bool:
    """Whether the text is a unit."""
    return _IS_UNIT.search(text.content) is not None


def is_variables(text: Text) -> bool:
    """Whether the text is a file of variables, among them one of etcd's or one that holds flags."""
    return _IS_VARIABLES.search(text.content) is not None


def read_unit(text: Text) -> Iterator[Unit]:
    """The unit, or the drop-in, with every line of its sections."""
    yield Unit(text.path, tuple(_assignments(text)), text.at(1))


def start_of(files: Sequence[Unit]) -> Start | None:
    """What a unit with its drop-ins behind it starts, where that is a program of the control plane."""
    starts: list[Parts] = []
    variables: list[tuple[str, str, Location]] = []
    wanted: list[str] = []
    for name, parts in (line for file in files for line in file.lines):
        value, place = "\n".join(text for text, _ in parts).strip(), parts[0][1]
        # An empty value takes back all that was given before.
        match name:
            case "ExecStart":
                starts = [*starts, parts] if value else []
            case "Environment":
                found = (_VARIABLE.fullmatch(one) for one in _split(value))
                variables = [*variables, *((one[1], one[2], place) for one in found if one)] if value else []
            case "EnvironmentFile":
                wanted = [*wanted, value.removeprefix("-").strip("\"'")] if value else []
    for words in (tuple(_words(parts)) for parts in reversed(starts)):
        at = next((index for index, (word, _) in enumerate(words) if posixpath.basename(word) in CONTROL_PLANE), None)
        if at is not None:
            program, place = words[at]
            doubt = "it has more than one ExecStart" if len(starts) > 1 else ""
            name = posixpath.basename(program)
            return Start(name, words[at + 1 :], tuple(variables), tuple(wanted), place, doubt)
    return None


def read_variables(text: Text) -> Iterator[Variables]:
    """Every variable of the file."""
    given = []
    for line, place in _lines(text):
        match = _VARIABLE.fullmatch(line.strip())
        if match:
            given.append((match[1], " ".join(_split(match[2])), place))
    yield Variables(text.path, tuple(given), Location(text.name))


def _lines(text: Text) -> Iterator[tuple[str, Location]]:
    """Lines without comments; those that end in a backslash joined by a line break, so that words keep their lines."""
    whole = text.content.decode("utf-8", "replace").replace("\r\n", "\n")
    pending, start = "", 0
    for number, line in enumerate(whole.split("\n"), 1):
        if not pending and line.lstrip().startswith(("#", ";")):
            continue
        start = start if pending else number
        if line.rstrip().endswith("\\"):
            pending += line.rstrip()[:-1] + "\n"
            continue
        if (pending + line).strip():
            yield pending + line, text.at(start)
        pending = ""
    if pending.strip():
        yield pending, text.at(start)


def _assignments(text: Text) -> Iterator[Line]:
    for line, place in _lines(text):
        name, equals, value = line.partition("=")
        if equals:
            start = None if place.line is None or text.line is not None else place.line - text.before
            lines = enumerate(value.split("\n"))
            yield name.strip(), tuple((part, text.at(start + offset) if start else place) for offset, part in lines)


def _words(parts: Parts) -> Iterator[tuple[str, Location]]:
    for offset, (part, place) in enumerate(parts):
        for number, word in enumerate(_split(part)):
            # systemd's own signs before the program.
            yield (word.lstrip("@-:+!") if offset == number == 0 else word), place


def _split(value: str) -> list[str]:
    try:
        return shlex.split(value)
    except ValueError:
        # A quote that goes over several lines: the words as they stand.
        return value.split()
