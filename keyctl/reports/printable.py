"""Text of others made fit for a report that a program shows: nothing in it acts, and no field of it runs over."""

from __future__ import annotations

from keyctl.reports.marks import inert


def printable(text: str, limit: int | None = None) -> str:
    """`text` on one line, what is not printable escaped; cut to `limit` characters."""
    shown = inert(text)
    return shown if limit is None or len(shown) <= limit else shown[: limit - 1] + "…"
