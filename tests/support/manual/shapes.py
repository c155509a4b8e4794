"""The words in which `kinds_of_*` say what each kind of JSON holds beside the common fields: the contract `keyctl/v1`.

A dict is an object whose fields are all there, but those whose name ends in "?"; a list is an array of its one
member; `Mapping` an object with names of its own; `Maybe` null or that. A test holds what commands print against
this, and fails for a field that is not here: a new one comes here first.
"""

from __future__ import annotations

from dataclasses import dataclass

Shape = object


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value of one type of JSON."""

    type: str


@dataclass(frozen=True, slots=True)
class Maybe:
    """null, or `shape`."""

    shape: Shape


@dataclass(frozen=True, slots=True)
class Mapping:
    """An object whose names are data; every value is of `shape`."""

    shape: Shape


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of document. `by` are the commands that print it; one without `common` fields has its own only."""

    by: tuple[str, ...]
    fields: dict[str, Shape]
    common: bool = True


TEXT, COUNT, NUMBER, FLAG = Leaf("string"), Leaf("integer"), Leaf("number"), Leaf("boolean")
ANYTHING = Leaf("")
MAYBE_TEXT, MAYBE_COUNT = Maybe(TEXT), Maybe(COUNT)
