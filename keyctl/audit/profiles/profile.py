"""What a profile is: a choice of checks, and what each is called in the framework it stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Profile:
    """`controls` maps each check to the framework's controls that it answers, none for one that has no such name.

    `source` says where the choice is known from. `optional` are checks that may stay unknown without exit code 21.
    With `absent_is_fine`, a check about something of which nothing was given does not apply; else it is unknown.
    """

    name: str
    title: str
    source: str
    controls: Mapping[str, tuple[str, ...]]
    optional: frozenset[str] = frozenset()
    absent_is_fine: bool = False
