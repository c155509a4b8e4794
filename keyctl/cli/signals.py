"""The signals that ask a command to stop: Ctrl-C, SIGTERM, and the hang-up of a closed session or terminal.

Without this the last two would end the process at once, and leave half of a file or a value's bytes on the disk.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_OUTPUTS = (1, 2)

Act = Callable[[int, FrameType | None], None]


@contextlib.contextmanager
def handled(act: Act) -> Iterator[None]:
    """Within this, each of `STOPPING` is handled by `act`, but for one that the process was started to ignore (nohup).

    A hang-up counts once, and only as the first signal: kernel, shell and service managers send it after another one,
    and putting things back must not be interrupted by it. Does nothing off the main thread, where no signal arrives.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in STOPPING}
    around = {handler for handler in before.values() if isinstance(handler, _Handler)}
    handler = _Handler(act, around)
    caught = [number for number in STOPPING if before[number] not in (signal.SIG_IGN, None)]
    for number in caught:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in caught:
            signal.signal(number, before[number])


def stop_now(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 — signal's signature
    """The `Act` that ends the command where it is; what it has begun is put back on the way out."""
    raise KeyboardInterrupt


class _Handler:
    """What a signal does, and that one came. `around` are the handlers of what encloses it."""

    def __init__(self, act: Act, around: set[_Handler]) -> None:
        self._act, self._around = act, around
        self._terminals = [number for number in _OUTPUTS if os.isatty(number)]
        self._asked = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Signal's handler."""
        first = not self._asked
        self._note()
        if number == signal.SIGHUP:
            self._leave_terminal()
            if not first:
                return
        self._act(number, frame)

    def _note(self) -> None:
        self._asked = True
        for handler in self._around:
            handler._note()

    def _leave_terminal(self) -> None:
        """Write to nowhere from now on where a terminal is gone: an error there would cut off what must be finished."""
        for number in self._terminals:
            if not os.isatty(number):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, number)
                os.close(nowhere)
