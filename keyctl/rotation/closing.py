"""The end of the time in which a rotation may work: it comes to rest where it may, and not sooner.

Pure. Whoever sets a limit gives `Session` a `pause` that raises `WindowClosedError`
once it has passed. An act under way is carried to its end, a server that restarts
until it is proven; and once a server has let go of a key, the way goes on to the last
proof (R3), for that is no state to stay in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from keyctl.errors import StoppedError
from keyctl.rotation import steps

# The kind of the journal's record of such a rest.
CLOSED = "window-closed"

# What can be left in the middle: work in small parts, and waits that begin anew.
_PARTS = (steps.Rewrite, steps.Settle, steps.ClearHistory)


class WindowClosedError(StoppedError):
    """The time is over. `hints` say when it goes on."""

    def standing(self, how: Sequence[str]) -> WindowClosedError:
        """The same, with `how` things stand."""
        return WindowClosedError(str(self), cause=self.cause, hint=(*self.hints, *how), rule=self.rule)


def can_rest_in(step: steps.Step | None) -> bool:
    """Whether `step` can be left in the middle; None is the moment between two steps."""
    return step is None or isinstance(step, _PARTS)


def rests(records: Sequence[Mapping[str, object]]) -> bool:
    """Whether the rotation of `records`, oldest first, came to rest so, and nobody has touched it since."""
    return bool(records) and records[-1].get("kind") == CLOSED
