"""Watch a rotation: a live table on a terminal, plain lines elsewhere, JSON lines for programs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from keyctl.rotation.world import Event

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

# Seconds, seconds, percent.
_LINE_EVERY = 10.0
_QUICKEST = 1.0
_SHARE_EVERY = 10
_STAGES = {"BASE": "old", "ADDED": "reads new key", "PROMOTED": "writes new key", "RETIRED": "old key gone", None: "?"}


class JsonLines:
    """One event a line on stdout."""

    def event(self, event: Event) -> None:
        """See `Reporter.event`."""
        click.echo(
            json.dumps(
                {
                    "apiVersion": "keyctl/v1",
                    "kind": "RotationEvent",
                    "event": event.kind,
                    "message": event.message,
                    **event.fields,
                }
            )
        )

    def close(self) -> None:
        """Nothing to put back."""


class PlainLines:
    """Lines on stderr: every step; of long work and waits the first line, then one every 10 s or 10 percent."""

    def __init__(self) -> None:
        self._last_line = 0.0
        self._last_share = 0
        self._waiting = False

    def event(self, event: Event) -> None:
        """See `Reporter.event`."""
        if event.kind == "state":
            click.echo(f"== {event.message}", err=True)
        elif event.kind in {"step", "loaded", "late"}:
            click.echo(f"   {event.message}", err=True)
        elif event.kind == "progress":
            self._progress(event)
        elif event.kind == "wait" and (not self._waiting or self._since_last() >= _LINE_EVERY):
            self._line(event.message)
        self._waiting = event.kind == "wait"

    def close(self) -> None:
        """Nothing to put back."""

    def _progress(self, event: Event) -> None:
        share = _share(event.fields)
        moved = abs(share - self._last_share) >= _SHARE_EVERY and self._since_last() >= _QUICKEST
        if share == 100 or moved or self._since_last() >= _LINE_EVERY:
            self._last_share = share
            self._line(f"{event.message}{_time_left(event.fields)}")

    def _line(self, text: str) -> None:
        self._last_line = time.monotonic()
        click.echo(f"   {text}", err=True)

    def _since_last(self) -> float:
        return time.monotonic() - self._last_line


class LiveTable:
    """A table of the servers that changes in place, with what is being done under it. Needs a terminal."""

    def __init__(self, *, color: bool) -> None:
        from rich.console import Console
        from rich.live import Live

        console = Console(file=sys.stderr, highlight=False, markup=False, emoji=False, no_color=not color)
        self._servers: dict[str, Mapping[str, object]] = {}
        self._state = ""
        self._doing = ""
        self._live: Live = Live(console=console, refresh_per_second=8, get_renderable=self._render)
        self._live.start()

    def event(self, event: Event) -> None:
        """See `Reporter.event`."""
        if event.kind == "server":
            self._servers[event.message] = event.fields
        elif event.kind == "state":
            self._state = event.message
        elif event.kind == "progress":
            self._doing = f"{event.message}{_time_left(event.fields)}"
        else:
            self._doing = event.message

    def close(self) -> None:
        """Leave the last picture on the screen."""
        self._live.stop()

    def _render(self) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False)
        for column in ("SERVER", "FILE", "LOADED", "READY"):
            table.add_column(column)
        for name, fields in self._servers.items():
            ready = Text("yes", "green") if fields["ready"] else Text("no", "red")
            table.add_row(Text(name), Text(_stage(fields["disk"])), Text(_stage(fields["loaded"])), ready)
        return Group(Text(f"state: {self._state}", "bold"), table, Text(self._doing))


def _stage(value: object) -> str:
    return _STAGES.get(value if isinstance(value, str) else None, "?")


def _share(fields: Mapping[str, object]) -> int:
    done, total = fields["done"], fields["total"]
    return done * 100 // total if isinstance(done, int) and isinstance(total, int) and total else 100


def _time_left(fields: Mapping[str, object]) -> str:
    left = fields["left"]
    return f", about {left:.0f} s left" if isinstance(left, float) and left >= 1 else ""
