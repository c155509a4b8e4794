"""systemd units that start a program of the control plane, and the files of variables that they read."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator

from keyctl.audit.sources.fragments import Unit, Variables
from keyctl.audit.sources.text import Text
from keyctl.findings import Location
from keyctl.hosts.pod import CONTROL_PLANE

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
    """The unit, where its ExecStart names a program of the control plane."""
    words: list[tuple[str, Location]] = []
    variables: list[tuple[str, str, Location]] = []
    files: list[str] = []
    for line, place in _lines(text):
        name, _, value = line.partition("=")
        match name.strip():
            case "ExecStart":
                words = list(_words(value, place, text))
            case "Environment":
                found = (_VARIABLE.fullmatch(one) for one in _split(value))
                variables += [(one[1], one[2], place) for one in found if one]
            case "EnvironmentFile":
                files.append(value.strip().removeprefix("-").strip("\"'"))
    named = (index for index, (word, _) in enumerate(words) if posixpath.basename(word) in CONTROL_PLANE)
    start = next(named, None)
    if start is not None:
        program, place = words[start]
        yield Unit(posixpath.basename(program), tuple(words[start + 1 :]), tuple(variables), tuple(files), place)


def read_variables(text: Text) -> Iterator[Variables]:
    """Every variable of the file."""
    given = []
    for line, place in _lines(text):
        match = _VARIABLE.fullmatch(line.strip())
        if match:
            given.append((match[1], " ".join(_split(match[2])), place))
    yield Variables(text.name, tuple(given))


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


def _words(value: str, start: Location, text: Text) -> Iterator[tuple[str, Location]]:
    for offset, part in enumerate(value.split("\n")):
        line = None if start.line is None else start.line - text.before + offset
        for number, word in enumerate(_split(part)):
            # systemd's own signs before the program.
            yield (word.lstrip("@-:+!") if offset == number == 0 else word), text.at(line)


def _split(value: str) -> list[str]:
    try:
        return shlex.split(value)
    except ValueError:
        # A quote that goes over several lines: the words as they stand.
        return value.split()
