"""The real programs that live tests run, found or built by the lab's own build module, once per run.

A missing one is an error, never a skip: a skip must not pass for a result.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import pytest

from keyctl.lab.build import binaries
from keyctl.lab.versions import DEFAULT_KUBERNETES, ON_REQUEST, SERVERS


def binary(name: str, kubernetes: str = DEFAULT_KUBERNETES) -> Path:
    """The path of one program. Raises the build's own `KeyctlError`, with its hint, when it cannot be had."""
    if name in ON_REQUEST:
        return _programs((name,), kubernetes)[name]
    return servers(kubernetes)[name]


def servers(kubernetes: str = DEFAULT_KUBERNETES) -> dict[str, Path]:
    """The programs that every lab needs."""
    return _programs(SERVERS, kubernetes)


@functools.cache
def _programs(names: tuple[str, ...], kubernetes: str) -> dict[str, Path]:
    with pytest.MonkeyPatch.context() as environment:
        if kubernetes != DEFAULT_KUBERNETES:
            # A directory of ready programs has those of one version: another one is built, once.
            environment.delenv("KEYCTL_LAB_BIN", raising=False)
        return binaries(names, kubernetes=kubernetes, progress=lambda line: print(line, file=sys.__stderr__))
