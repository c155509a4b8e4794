"""What is no fact by itself: files of variables, and units with what adds to them. `link` makes programs of them."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field

from keyctl.findings import Location

# A name, and the lines of its value, each with its place.
Line = tuple[str, tuple[tuple[str, Location], ...]]


@dataclass(frozen=True, slots=True)
class Variables:
    """A file of variables: (name, value, place) in order; `path` is what a unit calls it, at `location`."""

    path: str
    given: tuple[tuple[str, str, Location], ...] = field(repr=False)
    location: Location


@dataclass(frozen=True, slots=True)
class Unit:
    """A file of a systemd unit, or a drop-in that adds to one: its lines in order."""

    path: str
    lines: tuple[Line, ...] = field(repr=False)
    location: Location

    @property
    def adds_to(self) -> str:
        """The name of the unit that it is a drop-in of; "" for a unit itself."""
        directory = posixpath.basename(posixpath.dirname(self.path))
        return directory.removesuffix(".d") if directory.endswith(".service.d") else ""


@dataclass(frozen=True, slots=True)
class Start:
    """What a unit starts: `program`, its words, its variables, and the `files` it reads more from.

    `doubt` says why that is not certain, "" where it is.
    """

    program: str
    words: tuple[tuple[str, Location], ...] = field(repr=False)
    variables: tuple[tuple[str, str, Location], ...] = field(repr=False)
    files: tuple[str, ...]
    location: Location
    doubt: str = ""
