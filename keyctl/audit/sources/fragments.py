"""What is no fact by itself: files of variables, and units that read such files. `link` makes programs of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from keyctl.findings import Location


@dataclass(frozen=True, slots=True)
class Variables:
    """A file of variables: (name, value, place) in order; `path` is the file."""

    path: str
    given: tuple[tuple[str, str, Location], ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Unit:
    """A systemd unit that starts `program`: its words, its own variables, and the `files` it reads more from."""

    program: str
    words: tuple[tuple[str, Location], ...] = field(repr=False)
    variables: tuple[tuple[str, str, Location], ...] = field(repr=False)
    files: tuple[str, ...]
    location: Location
