"""What this terminal can show, and reports printed for it. Results to stdout, everything else to stderr."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from typing import TextIO

import click

from keyctl.findings import Report
from keyctl.reports import text
from keyctl.reports.formats import FORMATS


@dataclass(frozen=True, slots=True)
class Screen:
    """What one stream can show. `width` is None where nothing must be cut: a pipe or a file."""

    terminal: bool
    color: bool
    unicode: bool
    width: int | None


def screen(stream: TextIO) -> Screen:
    """Look at `stream` and at NO_COLOR, FORCE_COLOR and TERM."""
    terminal = stream.isatty()
    color = terminal and os.environ.get("TERM") != "dumb"
    if os.environ.get("NO_COLOR"):
        color = False
    elif os.environ.get("FORCE_COLOR") or os.environ.get("CLICOLOR_FORCE"):
        color = True
    unicode = (stream.encoding or "").lower().replace("-", "") == "utf8"
    return Screen(terminal, color, unicode, shutil.get_terminal_size().columns if terminal else None)


def redraws(stream: TextIO) -> bool:
    """Whether what was shown on `stream` can be taken away again: what changes in place needs that."""
    return screen(stream).terminal and os.environ.get("TERM") != "dumb"


def show(report: Report, output: str) -> None:
    """Print `report` on stdout as "text", "wide" or "json"."""
    if output == "json":
        click.echo(FORMATS["json"](report))
        return
    here = screen(sys.stdout)
    click.echo(
        text.render(report, width=here.width, color=here.color, unicode=here.unicode, wide=output == "wide"),
        color=here.color,
    )


def chapter(title: str) -> None:
    """Print a heading between the outputs of several commands."""
    click.echo(f"\n{'──' if screen(sys.stdout).unicode else '=='} {title}")


def output_choice(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    """Callback of -o/--output: a file name there is a usage error with the right way to say it."""
    if value not in {"text", "wide", "json"}:
        looks_like_file = "." in value or "/" in value
        hint = f"; to write a file: --report json={value}" if looks_like_file else ""
        raise click.BadParameter(f"{value!r} is not one of text, wide, json{hint}", ctx=ctx, param=parameter)
    return value
