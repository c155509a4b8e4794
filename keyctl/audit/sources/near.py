"""Which of several files another one means, in a tree that may hold the files of several hosts."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")

# What stands before the first directory of a host's own tree is where its copy lies.
_HOST = re.compile(r"(.*?)(?:^|/)(?:etc|usr|lib|opt|run)/")
# A template has the name of the file that it becomes.
_TEMPLATES = (".j2", ".tpl", ".tmpl", ".tftpl")


def is_same(path: str, wanted: str) -> bool:
    """Whether the file `path` of what was given is the file `wanted` of a host: itself, or a copy of its tree."""
    wanted = wanted.strip()
    return bool(wanted) and (path == wanted or (wanted.startswith("/") and f"/{path}".endswith(wanted)))


def is_called_alike(path: str, wanted: str) -> bool:
    """Whether both have the same last name: repositories keep the files of a host where they like."""
    name = posixpath.basename(path)
    ending = next((one for one in _TEMPLATES if name.endswith(one)), "")
    return bool(name) and posixpath.basename(wanted.strip()) in (name, name.removesuffix(ending))


def nearest(place: str, found: Iterable[T], where: Callable[[T], str]) -> tuple[T, ...]:
    """Those of `found` that stand on the same host as `place` and nearest to it: more than one where none is nearer."""
    own = _root(place)
    here = [one for one in found if own is None or _root(where(one)) in (None, own)]
    shared = [_shared(place, where(one)) for one in here]
    return tuple(one for one, count in zip(here, shared, strict=True) if count == max(shared))


def _root(path: str) -> str | None:
    match = _HOST.match(path)
    return match[1] if match else None


def _shared(one: str, other: str) -> int:
    pairs = zip(one.split("/"), other.split("/"), strict=False)
    return next((count for count, (a, b) in enumerate(pairs) if a != b), min(one.count("/"), other.count("/")) + 1)
