"""What a kubelet does for static pods: a server whose manifest has changed is started anew, by nobody's command."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from keyctl.errors import KeyctlError
from keyctl.lab.plane import Lab

_LOOK_EVERY = 0.1
# Between the end of a container and the start of the next one.
_TAKES = 1.0


@contextlib.contextmanager
def following_manifests(lab: Lab) -> Iterator[list[str]]:
    """Restart each server of `lab` whenever its manifest has other bytes; the list fills with their names."""
    restarted: list[str] = []
    done = threading.Event()
    threads = [
        threading.Thread(target=_follow, args=(lab, server.name, restarted, done)) for server in lab.topology.servers
    ]
    for thread in threads:
        thread.start()
    try:
        yield restarted
    finally:
        done.set()
        for thread in threads:
            thread.join()


def _follow(lab: Lab, name: str, restarted: list[str], done: threading.Event) -> None:
    manifest = lab.layout.server(name).manifest
    seen = manifest.read_bytes()
    while not done.is_set():
        time.sleep(_LOOK_EVERY)
        # NOTE: a kubelet takes every file of the directory for a pod, but for those whose name begins with a dot.
        strangers = [file.name for file in manifest.parent.iterdir() if not file.name.startswith(".")]
        assert strangers == [manifest.name]
        found = manifest.read_bytes()
        if found != seen:
            # It ends at once, and a new one comes up from what the manifest says by then.
            lab.stop(name)
            time.sleep(_TAKES)
            while (later := manifest.read_bytes()) != found:
                found = later
                time.sleep(_TAKES)
            seen = found
            restarted.append(name)
            # One that does not come up is seen by whoever waits for it.
            with contextlib.suppress(KeyctlError):
                lab.restart(name)
