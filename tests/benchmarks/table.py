"""What was measured, as lines: a ratio, how far it was scattered, and its limit beside it. Judges nothing else."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

_COLUMNS = ("", "against", "ratio", "scatter", "limit", "peak", "its peak", "limit")


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison. `ratios` are those of the pairs, `megabytes` the peaks; None is not compared.

    `limit` is how large the ratio may be or, where `more_is_better`, how small.
    """

    what: str
    against: str
    ratios: Sequence[float]
    limit: float | None = None
    megabytes: float | None = None
    their_megabytes: float | None = None
    megabytes_limit: float | None = None
    more_is_better: bool = False

    def cells(self) -> tuple[str, ...]:
        """The row's texts, a breach marked with an exclamation mark."""
        middle = median(self.ratios)
        over = self.limit is not None and (middle < self.limit if self.more_is_better else middle > self.limit)
        fat = self.megabytes is not None and self.megabytes_limit is not None and self.megabytes > self.megabytes_limit
        sign = "≥" if self.more_is_better else "≤"
        return (
            self.what,
            self.against,
            f"{middle:.2f}{'!' if over else ''}",
            f"{min(self.ratios):.2f} to {max(self.ratios):.2f}",
            "" if self.limit is None else f"{sign} {self.limit:g}",
            _megabytes(self.megabytes) + ("!" if fat else ""),
            _megabytes(self.their_megabytes),
            "" if self.megabytes_limit is None else f"≤ {self.megabytes_limit:g} MB",
        )


def show(title: str, rows: Iterable[Row]) -> None:
    """Print a titled table at once, so that a later failure does not take it away."""
    table = [_COLUMNS, *(row.cells() for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(_COLUMNS))]
    say(f"\n{title}")
    for row in table:
        say("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def say(line: str) -> None:
    """One line on standard output."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _megabytes(amount: float | None) -> str:
    return "" if amount is None else f"{amount:.0f} MB"
