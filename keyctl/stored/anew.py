"""Reading all of a source again when etcd forgot, meanwhile, the revision that was being read. Knows no source."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec, TypeVar

from keyctl.errors import RevisionLostError

_Given = ParamSpec("_Given")
_Found = TypeVar("_Found")

_TRIES = 3


def anew(read: Callable[_Given, _Found]) -> Callable[_Given, _Found]:
    """`read`, begun again when it raises `RevisionLostError`, three times in all.

    What it counts must be its own: values of two revisions are never counted together.
    """

    @functools.wraps(read)
    def patiently(*args: _Given.args, **kwargs: _Given.kwargs) -> _Found:
        for _ in range(_TRIES - 1):
            with suppress(RevisionLostError):
                return read(*args, **kwargs)
        return read(*args, **kwargs)

    return patiently
