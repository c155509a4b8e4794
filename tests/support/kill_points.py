"""Kill a child before each of its effects on the file system in turn."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable, Iterator

_EFFECTS = ("open", "fsync", "link", "unlink", "replace", "rename", "ftruncate", "mkdir", "write")


def kill_points(act: Callable[[], object]) -> Iterator[int]:
    """Run `act` in children killed before effect 0, 1, 2 …, and yield after each; end once one survives.

    A child killed at a write has written half of it. The caller sets the scene anew
    after each yield.
    """
    for effect in itertools.count():
        child = os.fork()
        if child == 0:
            _run_and_die(act, effect)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            yield effect
        else:
            assert os.WEXITSTATUS(status) == 0, "the child failed by itself"
            return


def _run_and_die(act: Callable[[], object], effect: int) -> None:
    """In the child: never returns."""
    left = itertools.count(effect, -1)
    for name in _EFFECTS:
        setattr(os, name, _counted(name, getattr(os, name), left))
    survived = 1
    try:
        act()
        survived = 0
    finally:
        os._exit(survived)


def _counted(name: str, real: Callable[..., object], left: Iterator[int]) -> Callable[..., object]:
    def call(*args: object, **kwargs: object) -> object:
        if next(left) == 0:
            if name == "write":
                descriptor, content = args
                assert isinstance(content, bytes | memoryview)
                real(descriptor, content[: len(content) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)

    return call
