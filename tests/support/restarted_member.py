"""Restart a member of `rolled_etcd`: a restart command of a cluster file, run by its path as DIRECTORY NAME."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from keyctl.lab.locking import locked
from keyctl.lab.processes import ProcessId, Program, start, stop

_GRACE = 20.0


def restart(root: Path, name: str) -> None:
    """Stop the member as init does, where it runs, and start it again with the command that is kept for it."""
    record = root / f"{name}.json"
    # Whoever ran us may have been killed and be running us again: the second waits for the first.
    with locked(root / f"{name}.lock", patience=3 * _GRACE):
        process = ProcessId.read(record)
        if process is not None:
            stop(process, grace=_GRACE)
        command = json.loads((root / f"{name}.command").read_text())
        start(Program(command=tuple(command), record=record, log=root / f"{name}.log"))


if __name__ == "__main__":
    restart(Path(sys.argv[1]), sys.argv[2])
