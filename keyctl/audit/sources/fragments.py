"""What is no fact by itself: files of variables, units and files of k3s, with what adds to them. `link` joins them."""

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


@dataclass(frozen=True, slots=True)
class Given:
    """One field of a file of k3s or RKE2 with its value, or the items of its list. `adds` to those of other files."""

    name: str
    adds: bool
    values: tuple[tuple[str, Location], ...] = field(repr=False)
    location: Location


@dataclass(frozen=True, slots=True)
class ServerFile:
    """The configuration file of a k3s or RKE2 server, or one in the directory beside it that adds to it."""

    path: str
    given: tuple[Given, ...] = field(repr=False)
    location: Location

    @property
    def adds_to(self) -> str:
        """The path of the file that it adds to; "" for a file of its own."""
        directory = posixpath.dirname(self.path)
        return directory.removesuffix(".d") if posixpath.basename(directory) == "config.yaml.d" else ""


Fragment = Unit | Variables | ServerFile
