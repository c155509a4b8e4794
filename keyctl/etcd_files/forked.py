"""Work for a second core: a child process that reads, and answers through a pipe. Knows nothing of what it reads."""

from __future__ import annotations

import gc
import logging
import os
import signal
import tempfile
import traceback
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NoReturn

from keyctl.errors import KeyctlError, StoppedError

_logger = logging.getLogger(__name__)

_THREADS = Path("/proc/self/task")
# Below this the child costs more than it saves.
_WORTH_BYTES = 32 << 20
# So much is written and read at a time: to wake the other process costs more than it reads in a page.
_AT_A_TIME = 32 << 10
# A pipe takes this much before anybody reads it.
_MOST_TOLD = 32 << 10
# By these a child simply ends: what there is to put back is its parent's.
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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

    Where the system has no room for a child, all of `work` is done here first, and its answer kept on the disk.
    An expected failure of the child (`KeyctlError`, no memory) is lost, as is a child that somebody ended: an answer
    that ends too early says that it did. What else it fails with is a bug, and told as a `RuntimeError` here.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    child = None
    try:
        child = _start(work, before)
        # NOTE: a signal that came meanwhile raises here, where there is somebody to end the child.
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        with child.answer if child else _answered(work) as answer:
            yield answer
    except Exception as error:
        if child and (bug := child.end()):
            raise RuntimeError(bug) from error
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if child:
            child.end()
    if child and (bug := child.end()):
        raise RuntimeError(bug)


class _Child:
    """A child process, the pipe with its answer, and the one by which it tells of a bug."""

    def __init__(self, process: int, answer: BinaryIO, told: BinaryIO) -> None:
        self.answer, self._process, self._told = answer, process, told
        self._bug: str | None = None

    def end(self) -> str:
        """End it, done or not; the bug that it told of, "" for none."""
        if self._bug is None:
            with suppress(ProcessLookupError):
                os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)
            self.answer.close()
            self._bug = self._told.read().decode(errors="backslashreplace")
            self._told.close()
        return self._bug


def _start(work: Callable[[BinaryIO], object], mask: Iterable[int]) -> _Child | None:
    """A child that does `work`, with the signals of `mask` held back; None when there can be none now."""
    with ExitStack() as pipes:
        try:
            ends = [_pipe(pipes) for _ in range(2)]
            process = os.fork()
        except OSError as error:
            _logger.debug("no second process: %s", error.strerror)
            return None
        (reader, writer), (told, telling) = ends
        if not process:
            reader.close()
            told.close()
            _work_and_exit(work, writer, telling, mask)
        pipes.pop_all()
        writer.close()
        telling.close()
        return _Child(process, reader, told)


def _pipe(closed: ExitStack) -> tuple[BinaryIO, BinaryIO]:
    """The two ends of a pipe, which `closed` will close."""
    reader, writer = os.pipe()
    read_end = closed.enter_context(os.fdopen(reader, "rb", _AT_A_TIME))
    return read_end, closed.enter_context(os.fdopen(writer, "wb", _AT_A_TIME))


def _work_and_exit(
    work: Callable[[BinaryIO], object], answer: BinaryIO, telling: BinaryIO, mask: Iterable[int]
) -> NoReturn:
    """The child. Nothing of its parent may run on in it, neither a `finally` nor what is done at the exit."""
    with suppress(BaseException):
        for number in _STOPPING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        # It ends soon, and has no cycles to collect.
        gc.disable()
        with answer:
            try:
                work(answer)
            except (KeyctlError, MemoryError, BrokenPipeError):
                pass
            except Exception:  # noqa: BLE001 — told to the parent
                # NOTE: told before the answer ends, for then the parent ends this process.
                telling.write(traceback.format_exc().encode(errors="backslashreplace")[-_MOST_TOLD:])
                telling.flush()
    os._exit(0)


@contextmanager
def _answered(work: Callable[[BinaryIO], object]) -> Generator[BinaryIO]:
    """What `work` writes, once all of it is done."""
    with ExitStack() as closed:
        try:
            answer = closed.enter_context(tempfile.TemporaryFile())
            work(answer)
            answer.seek(0)
        except OSError as error:
            raise StoppedError(
                "no second process could be started to read with, and no file of notes be written instead",
                cause=error.strerror,
                hint="end what takes memory or processes, or set TMPDIR to a directory with room",
            ) from error
        yield answer
