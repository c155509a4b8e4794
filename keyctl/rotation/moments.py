"""What happened when in a rotation, from the records of its journal: JSON-ready, for whoever draws it. Pure.

Tells what the records say, and judges none of it. Records of what was only meant to be done are left out, and so is
everything that is no plain value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_KINDS = frozenset({"attempt", "secured", "begin", "proof", "state", "joined", "resume", "abort", "end"})
_STEPS = frozenset({"write-file", "edit-manifest", "restore-manifest", "restart"})
_FIELDS = (
    "at",
    "kind",
    "of",
    "step",
    "server",
    "stage",
    "state",
    "loadedBy",
    "revision",
    "values",
    "leaving",
    "settled",
    "mode",
    "times",
    "who",
)


def moments(records: Iterable[Mapping[str, object]]) -> list[dict[str, object]]:
    """The records that change what a server has or what is known of it, oldest first, each with what it says."""
    return [_told(record) for record in records if _tells(record)]


def _tells(record: Mapping[str, object]) -> bool:
    kind = record.get("kind")
    return kind in _KINDS or (kind == "outcome" and record.get("step") in _STEPS)


def _told(record: Mapping[str, object]) -> dict[str, object]:
    return {name: record[name] for name in _FIELDS if isinstance(record.get(name), str | int | float)}
