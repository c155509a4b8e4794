"""Read JSON whose shape is somebody else's: a missing or odd field is empty, never an exception."""

from __future__ import annotations

import json
from collections.abc import Mapping


def parse(body: bytes) -> Mapping[str, object]:
    """The JSON object in `body`; empty when it is none."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def find(document: object, *path: str) -> object:
    """The value at `path`, None when there is none."""
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def text(document: object, *path: str) -> str:
    """The string at `path`, "" when there is none."""
    value = find(document, *path)
    return value if isinstance(value, str) else ""


def items(document: object, *path: str) -> list[object]:
    """The list at `path`, empty when there is none."""
    value = find(document, *path)
    return value if isinstance(value, list) else []
