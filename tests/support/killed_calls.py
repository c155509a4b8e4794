"""Kill a child before or after each request to Vault in turn."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable, Iterator, Mapping

from keyctl.keys.vault.settings import VaultServer
from keyctl.keys.vault.transport import Answer, Transport

Act = Callable[[Callable[[VaultServer], Transport]], object]


def killed_at_every_call(act: Act) -> Iterator[str]:
    """Run `act` in children killed at request 0, 1, 2 …, before and after it; yield after each; end once one survives.

    The caller sets the scene anew after each yield.
    """
    for number in itertools.count():
        for moment in ("before", "after"):
            child = os.fork()
            if child == 0:
                _run_and_die(act, number, moment)
            _, status = os.waitpid(child, 0)
            if not os.WIFSIGNALED(status):
                assert os.WEXITSTATUS(status) == 0, "the child failed by itself"
                return
            assert os.WTERMSIG(status) == signal.SIGKILL
            yield f"{moment} request {number}"


def _run_and_die(act: Act, number: int, moment: str) -> None:
    """In the child: never returns."""
    left = itertools.count(number, -1)

    class Killed(Transport):
        def send(
            self, method: str, path: str, body: Mapping[str, object] | None = None, *, token: str | None = None
        ) -> Answer:
            last = next(left) == 0
            if last and moment == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            answer = super().send(method, path, body, token=token)
            if last:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

    survived = 1
    try:
        act(Killed)
        survived = 0
    finally:
        os._exit(survived)
