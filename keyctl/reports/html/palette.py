"""The colours of a page, by day and by night. Text has a contrast of 4.5 and more to its ground: tests compute it.

Blue stands for right, orange and red for wrong, which people who see no red or green tell apart; and nothing is told by
colour alone.
"""

from __future__ import annotations

from collections.abc import Mapping

# By name: (light, dark). What is written on which ground: `WRITTEN_ON`.
COLOURS: Mapping[str, tuple[str, str]] = {
    "page": ("#ffffff", "#10151b"),
    "panel": ("#f3f5f8", "#1a2129"),
    "line": ("#c8d0da", "#3a4653"),
    "edge": ("#6d7885", "#7d8a98"),
    "text": ("#17202a", "#e7edf3"),
    "muted": ("#4f5b67", "#a7b3c0"),
    "good": ("#0a4f9e", "#8cc4ff"),
    "warn": ("#8a4600", "#f5bd6b"),
    "bad": ("#a3200d", "#ff9d8c"),
    "open": ("#5d3a9b", "#cbb2ff"),
    "good-ground": ("#e1eefb", "#16304c"),
    "warn-ground": ("#fdeed8", "#3d2c10"),
    "bad-ground": ("#fde3de", "#451a14"),
    "open-ground": ("#eee7fa", "#2e2346"),
    "shade-1": ("#edf4fc", "#162536"),
    "shade-2": ("#dceafa", "#182f49"),
    "shade-3": ("#c8dff7", "#1b3a5d"),
    "shade-4": ("#b1d2f4", "#1f4672"),
}

# What is written, on which grounds.
WRITTEN_ON: Mapping[str, tuple[str, ...]] = {
    "text": (
        "page",
        "panel",
        "good-ground",
        "warn-ground",
        "bad-ground",
        "open-ground",
        "shade-1",
        "shade-2",
        "shade-3",
        "shade-4",
    ),
    "muted": ("page", "panel"),
    "good": ("page", "panel", "good-ground"),
    "warn": ("page", "panel", "warn-ground"),
    "bad": ("page", "panel", "bad-ground"),
    "open": ("page", "panel", "open-ground"),
}


def variables(*, dark: bool) -> str:
    """The colours as CSS variables."""
    return "".join(f"--{name}:{pair[dark]};" for name, pair in COLOURS.items())
