"""What a file is called in waivers and baselines: the same from wherever keyctl is called and however PATH reads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from keyctl.audit.work_trees import WorkTrees


def base_of(paths: Sequence[Path], trees: WorkTrees) -> Path | None:
    """The directory that names are told from: the Git work tree that holds all of `paths`, or the only one of them.

    None where there is no such directory: then each file is called as it was found.
    """
    # A link is named where it stands, so nothing is resolved.
    spelled = [Path(os.path.abspath(one)) for one in paths]  # noqa: PTH100
    roots = {trees.root(one if one.is_dir() else one.parent) for one in spelled}
    if len(roots) == 1 and None not in roots:
        return roots.pop()
    return spelled[0] if len(spelled) == 1 and spelled[0].is_dir() else None


def known_as(names: Iterable[str], base: Path | None) -> Mapping[str, str]:
    """Each name as it is told from `base`, where that is another one than as it was found."""
    if base is None:
        return {}
    told = {name: Path(os.path.abspath(name)) for name in names}  # noqa: PTH100
    return {
        name: below
        for name, path in told.items()
        if path.is_relative_to(base) and (below := path.relative_to(base).as_posix()) != name
    }
