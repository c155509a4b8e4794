"""One guard, and the program without it, as a value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """The program without one guard of `rule`, which `guard` names in words.

    `old` stands exactly once in `file`, a path from the root of the repository;
    `new` takes its place. `test` is the pytest node id that has to turn red.
    """

    rule: str
    guard: str
    file: str
    old: str
    new: str
    test: str

    def apply(self, source: str) -> str:
        """`source` without the guard. `ValueError` unless `old` is there exactly once."""
        if source.count(self.old) != 1:
            raise ValueError(f"{self.file} has {source.count(self.old)} times the text of: {self.guard}")
        return source.replace(self.old, self.new)
