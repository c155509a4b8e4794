"""All guards, in the order of their rules, and the page that lists them."""

from __future__ import annotations

from pathlib import Path

from tests.mutants import (
    before,
    convergence,
    during,
    host_files,
    key_lives,
    leaving,
    meanwhile,
    plugin_moves,
    pull_agents,
    records,
    rewriting,
    scope,
)
from tests.mutants.mutant import Mutant

PAGE = Path(__file__).parents[2] / "docs" / "mutants.md"

_HEAD = """\
# Guards, and the tests that miss them

Each row is one guard of the [rotation rules](rotation-rules.md). `make mutants` removes it, in a copy of the program,
and runs the test beside it there: that test must turn red. With every guard in place the same tests must be green
first. `make generate` writes this page from `tests/mutants/`.

| rule | guard removed | file | red test |
|---|---|---|---|
"""

MUTANTS: tuple[Mutant, ...] = tuple(
    sorted(
        (
            *before.MUTANTS,
            *convergence.MUTANTS,
            *during.MUTANTS,
            *host_files.MUTANTS,
            *key_lives.MUTANTS,
            *leaving.MUTANTS,
            *meanwhile.MUTANTS,
            *plugin_moves.MUTANTS,
            *pull_agents.MUTANTS,
            *records.MUTANTS,
            *rewriting.MUTANTS,
            *scope.MUTANTS,
        ),
        key=lambda mutant: int(mutant.rule.removeprefix("R")),
    )
)


def page() -> str:
    """docs/mutants.md as it must be."""
    return _HEAD + "".join(
        f"| {mutant.rule} | {mutant.guard} | `{mutant.file.removeprefix('keyctl/')}` | `{_short(mutant.test)}` |\n"
        for mutant in MUTANTS
    )


def _short(test: str) -> str:
    """The file's name and the test's, without the folders."""
    path, name = test.split("::", 1)
    return f"{path.rpartition('/')[2]}::{name}"
