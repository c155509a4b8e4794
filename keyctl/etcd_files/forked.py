"""Work for a second core: a child process that reads, and answers through a pipe. Knows nothing of what it reads."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_THREADS = Path("/proc/self/task")
# Below this the child costs more than it saves.
_WORTH_BYTES = 32 << 20


def is_worth_it(size: int) -> bool:
    """Whether a child should help to read `size` bytes.

    Not where this process has threads (gRPC's, for example): a forked copy of
    one that holds a lock would wait for it for ever.
    """
    if size < _WORTH_BYTES or not _THREADS.is_dir():
        return False
    return len(os.sched_getaffinity(0)) > 1 and len(list(_THREADS.iterdir())) == 1


@contextmanager
def forked(work: Callable[[BinaryIO], object]) -> Generator[BinaryIO]:
    """Run `work` in a child and give what it writes. Leaving ends the child, done or not.

    What the child fails with is lost: an answer that ends too early says that it did.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        # NOTE: nothing of this process may run on in the child, neither its `finally` nor what it does at its exit.
        with suppress(BaseException):
            os.close(reader)
            # It ends soon, and has no cycles to collect.
            gc.disable()
            with os.fdopen(writer, "wb") as answer:
                work(answer)
        os._exit(0)
    os.close(writer)
    try:
        with os.fdopen(reader, "rb") as answer:
            yield answer
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
