"""All guards, and the page that lists them."""

from __future__ import annotations

from tests.mutants import before
from tests.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = tuple(sorted((*before.MUTANTS,), key=lambda mutant: int(mutant.rule[1:])))
