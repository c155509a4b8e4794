"""The name of a snapshot on the command line: that of a file, not of a directory or a standard stream."""

from __future__ import annotations

from pathlib import Path

import click

_STREAM = "-"
_READ = "a snapshot is not read from stdin, for it is read at many places at once"
_WRITTEN = "a snapshot is not written to stdout, for it is read again and gets a manifest"


def read_one(ctx: click.Context, parameter: click.Parameter, value: str) -> Path:
    """Callback of an argument: the snapshot that is read. A usage error for what names no file."""
    return _path(ctx, parameter, value, _READ)


def read_several(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[Path, ...]:
    """The same for several."""
    return tuple(_path(ctx, parameter, value, _READ) for value in values)


def written(ctx: click.Context, parameter: click.Parameter, value: str) -> Path:
    """Callback of an argument: the snapshot that is to come there, or the directory that it is to come into.

    A usage error for what can be neither.
    """
    path = _path(ctx, parameter, value, _WRITTEN)
    if value.endswith("/") and not path.is_dir():
        raise _wrong(
            ctx, parameter, f"there is no directory {value!r}; make it first, for its owner only: mkdir -m 700"
        )
    return path


def _path(ctx: click.Context, parameter: click.Parameter, value: str, why_no_stream: str) -> Path:
    if not value:
        raise _wrong(ctx, parameter, "it is empty; name a file")
    if value == _STREAM:
        raise _wrong(ctx, parameter, f"{why_no_stream}; name a file, or ./- for one of that name")
    path = Path(value)
    if path.name in ("", ".."):
        raise _wrong(ctx, parameter, f"{value!r} is a directory; name a file in it")
    return path


def _wrong(ctx: click.Context, parameter: click.Parameter, message: str) -> click.BadParameter:
    return click.BadParameter(message, ctx=ctx, param=parameter)
