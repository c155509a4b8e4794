"""One program run to its end, within a time and for so much output, with content on its stdin.

What goes in and comes out may hold keys: none of it reaches a message or a command line here. A program that does
not end is killed with all that it started.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum

_CHUNK = 65536
_ERRORS_KEPT = 8192
# How soon the end of a program is noticed whose pipes are held open by something that it left running.
_LOOK_EVERY = 0.05


class Cut(Enum):
    """Why a program was not waited for to its end."""

    TIME = "time"
    SIZE = "size"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended: its exit status, minus a signal's number when one ended it, or None when it was cut off.

    `output` is its stdout, `errors` the last 8 KiB of its stderr.
    """

    status: int | None
    output: bytes = field(repr=False)
    errors: bytes = field(repr=False)
    cut: Cut | None = None


def run(
    words: tuple[str, ...],
    *,
    content: bytes = b"",
    seconds: float,
    most: int,
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Run `words` without a shell, in a session of its own, for at most `seconds` and `most` bytes of output.

    Raises `OSError` when the program cannot be started.
    """
    process = subprocess.Popen(  # noqa: S603 — the user's own program, no shell
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=environment,
    )
    talk = _Talk(process, content, time.monotonic() + seconds, most)
    try:
        return talk.to_the_end()
    finally:
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        talk.close()


class _Talk:
    """The three pipes of a process, served together so that none fills up while another is waited for."""

    def __init__(self, process: subprocess.Popen[bytes], content: bytes, deadline: float, most: int) -> None:
        self._process = process
        self._rest = memoryview(content)
        self._deadline = deadline
        self._most = most
        self._output = bytearray()
        self._errors = bytearray()
        self._selector = selectors.DefaultSelector()
        self._pipes = [pipe for pipe in (process.stdin, process.stdout, process.stderr) if pipe is not None]
        for pipe in self._pipes:
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_WRITE if pipe is process.stdin else selectors.EVENT_READ)

    def to_the_end(self) -> Ended:
        """Talk until the process has ended and all that it said is read, or it is cut off."""
        while True:
            # NOTE: first the end, then what is left in the pipes: what was said before it is in there by then.
            over = self._process.poll() is not None
            said = self._serve(0.0 if over else _LOOK_EVERY)
            if len(self._output) > self._most:
                return self._ended(Cut.SIZE)
            late = time.monotonic() > self._deadline
            # What it left running may go on talking for ever.
            if over and (late or not said):
                return self._ended(None)
            if late:
                return self._ended(Cut.TIME)

    def close(self) -> None:
        """Let go of the pipes; what the process left running keeps its own ends."""
        self._selector.close()
        for pipe in self._pipes:
            with suppress(OSError):
                pipe.close()

    def _serve(self, seconds: float) -> bool:
        """Read and write what is possible; whether anything was read."""
        if not self._selector.get_map():
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
            return False
        said = False
        for key, _ in self._selector.select(seconds):
            if key.fileobj is self._process.stdin:
                self._write(key.fd)
            else:
                said |= self._read(key.fd, self._output if key.fileobj is self._process.stdout else self._errors)
        return said

    def _write(self, descriptor: int) -> None:
        try:
            self._rest = self._rest[os.write(descriptor, self._rest[:_CHUNK]) :] if self._rest else self._rest
        except BrokenPipeError:
            self._rest = self._rest[:0]
        if not self._rest and self._process.stdin is not None:
            self._selector.unregister(self._process.stdin)
            self._process.stdin.close()

    def _read(self, descriptor: int, into: bytearray) -> bool:
        chunk = os.read(descriptor, _CHUNK)
        if not chunk:
            self._selector.unregister(descriptor)
            return False
        into += chunk
        if into is self._errors:
            del into[:-_ERRORS_KEPT]
        return True

    def _ended(self, cut: Cut | None) -> Ended:
        status = None if cut else self._process.returncode
        return Ended(status, bytes(self._output[: self._most]), bytes(self._errors), cut)
