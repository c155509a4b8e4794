"""With JSON, why a command ends is its last event; the text on stderr and the exit code are the caller's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from keyctl.cli.progress import JsonLines
from keyctl.errors import RefusedError, StoppedError
from keyctl.rotation.world import Event


@contextlib.contextmanager
def told(output: str) -> Iterator[None]:
    """Say so where `output` is "json", and raise it again."""
    try:
        yield
    except (RefusedError, StoppedError) as error:
        if output == "json":
            fields = {"cause": error.cause, "rule": error.rule, "hints": list(error.hints)}
            kind = "stopped" if isinstance(error, StoppedError) else "refused"
            # NOTE: a reader that has gone must not hide the error from stderr.
            with contextlib.suppress(OSError):
                JsonLines().event(Event(kind, str(error), fields))
        raise
