"""How far work on one file has come, on stderr: how much of it arrived, and which part of it is being read.

On a terminal one line that changes and is gone in the end; elsewhere, and on a dumb one, a line every ten seconds.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType

import click

from keyctl.cli import terminal

_EVERY_SECONDS = 0.2
_LINE_SECONDS = 10.0


class Lines:
    """Shows the work on the file or etcd `name`, "" where nobody needs a name; a `Watch`, to be closed at its end."""

    def __init__(self, name: str = "") -> None:
        self._terminal = terminal.redraws(sys.stderr)
        self._head = f"{name}: " if name else ""
        self._told = time.monotonic()
        self._begun: float | None = None
        self._arrived = 0
        self._shown = False
        self._part = ""

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def arriving(self, done: int, total: int) -> None:
        """See `Watch.arriving`."""
        now = time.monotonic()
        # Less than before: it comes anew, from another member.
        begun = self._begun = now if self._begun is None or done < self._arrived else self._begun
        self._arrived = done
        if self._is_early(now):
            return
        rate = done / max(now - begun, 0.001)
        left = (total - done) / rate if rate else 0.0
        self._show(f"{done / 1e6:.0f} of {total / 1e6:.0f} MB, {rate / 1e6:.0f} MB/s, about {left:.0f} s left")

    def reading(self, part: str) -> None:
        """See `Watch.reading`."""
        head = part.partition(":")[0]
        is_new, self._part = head != self._part, head
        # A part may take long before there is more to say of it.
        if not self._is_early(time.monotonic()) or (is_new and self._terminal):
            self._show(part)

    def close(self) -> None:
        """Take the line away."""
        if self._shown and self._terminal:
            click.echo("\r\x1b[K", nl=False, err=True)
        self._shown = False

    def _is_early(self, now: float) -> bool:
        return now - self._told < (_EVERY_SECONDS if self._terminal else _LINE_SECONDS)

    def _show(self, line: str) -> None:
        self._told, self._shown = time.monotonic(), True
        said = f"{self._head}{line}"
        if self._terminal:
            click.echo(f"\r\x1b[K{said}", nl=False, err=True)
        else:
            click.echo(said, err=True)
