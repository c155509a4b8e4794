"""keyctl as a process that something hinders: `python -m tests.support.hindered_keyctl pages|slow ARGUMENT…`.

`pages`: its etcd does not stream, as one before 3.7. `slow`: it takes its time over every batch of values.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from unittest.mock import patch

from keyctl.cli.main import run
from keyctl.etcd.rpc import CallError, RangeAnswer, Session
from keyctl.stored.census import Census
from keyctl.stored.source import Value

_PAUSE = 0.03


def no_streams(_session: Session, _key: bytes, _range_end: bytes, *, revision: int) -> Generator[RangeAnswer]:
    """What the call does at an etcd that does not know it."""
    raise CallError("UNIMPLEMENTED", f"unknown method RangeStream, asked for revision {revision}")
    yield


def slowly(add: Callable[[Census, list[Value]], None]) -> Callable[[Census, list[Value]], None]:
    """`add`, and a pause."""

    def wait(census: Census, batch: list[Value]) -> None:
        add(census, batch)
        time.sleep(_PAUSE)

    return wait


if __name__ == "__main__":
    hindered = {
        "pages": (Session, "range_stream", no_streams),
        "slow": (Census, "add", slowly(Census.add)),
    }
    with patch.object(*hindered[sys.argv[1]]):
        sys.exit(run(sys.argv[2:]))
