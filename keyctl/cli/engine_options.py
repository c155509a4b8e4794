"""The options that say how values are rewritten: `--engine` and `--second-pass`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from keyctl.rotation.plan import Engine

F = TypeVar("F", bound=Callable[..., object])

_OPTIONS = (
    click.option(
        "--engine",
        type=click.Choice([engine.value for engine in Engine]),
        help="Who rewrites: keyctl by empty patches (patch, the default), or the cluster by its own "
        "StorageVersionMigration (svm; slower, goes on when keyctl is stopped).",
    ),
    click.option(
        "--second-pass",
        is_flag=True,
        help="After rewriting, send every object through every API server once more: nothing may move. "
        "A proof besides raw etcd's, for the evidence.",
    ),
)


def engine_options(command: F) -> F:
    """Both of them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
