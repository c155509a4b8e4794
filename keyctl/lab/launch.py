"""The first instants of a server's process: note who it is, take a host name, become the server.

Run as a script, by path, with nothing but the standard library: it must be
quick, and it must not import keyctl. The process notes itself, so that a lab
whose owner is killed between starting it and hearing of it can still be cleaned.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path


def start_mark(pid: int) -> str | None:
    """What tells process `pid` from a later one of the same number: the boot, and its start in clock ticks.

    None when there is no such process, or only its exit status is left of it.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # NOTE: proc(5) counts from 1, with the state third; the program's name may hold anything, even ")".
    state, ticks = fields[0], fields[19]
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return None if state in "ZX" else f"{boot}:{ticks}"


def main(record: str, hostname: str, *command: str) -> None:
    """Write {"pid","started"} to `record`, set `hostname` unless it is empty, exec `command`."""
    note = {"pid": os.getpid(), "started": start_mark(os.getpid())}
    draft = Path(f"{record}.new")
    draft.write_text(json.dumps(note))
    # NOTE: a lab being cleaned moves this directory away: we end here, instead of starting a server nobody knows.
    draft.replace(record)
    os.chdir("/")
    if hostname:
        socket.sethostname(hostname)
    os.execv(command[0], command)  # noqa: S606 - the very command we were started for


if __name__ == "__main__":
    main(*sys.argv[1:])
