"""A host whose API server is restarted by the kubelet: a static pod whose manifest has changed is started anew.

The manifest stays where it is: taken away and put back, it can leave a kubelet hanging (kubernetes#118646). Its
temporary begins with a dot, as every host's do, and the kubelet skips such names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from keyctl.errors import StoppedError
from keyctl.hosts.interface import Host, HostFile
from keyctl.hosts.manifests import read_flags
from keyctl.hosts.pod_edits import with_restart_mark


class StaticPodHost:
    """`host`, and the restart of the server whose static pod is in `manifest_path` there. `now` tells the time."""

    def __init__(self, host: Host, manifest_path: str, *, now: Callable[[], datetime]) -> None:
        self._host = host
        self._manifest_path = manifest_path
        self._now = now
        self._restarts_already = False
        # The hash of the manifest with our last mark, and when it had changed before.
        self._marked: tuple[str, float | None] | None = None

    @property
    def name(self) -> str:
        """Which API server's host this is."""
        return self._host.name

    def read(self, path: str) -> HostFile | None:
        """See `Host.read`. `changed` leaves out the marks that this has made: they change nothing of what is loaded."""
        found = self._host.read(path)
        if found is None or self._marked is None or (path, found.sha256) != (self._manifest_path, self._marked[0]):
            return found
        return replace(found, changed=self._marked[1])

    def write(self, path: str, content: bytes, *, expected: str | None, in_place: bool = False) -> HostFile:
        """See `Host.write`."""
        written = self._host.write(path, content, expected=expected, in_place=in_place)
        # NOTE: the kubelet has this one to act on now. A mark on top would have it restart the server a second time,
        # maybe when the first one was proven already and the next server's turn has come (R9). A server that lost its
        # flag says nothing of what it has loaded: it is known by having started after a restart of ours.
        self._restarts_already = path == self._manifest_path and written.sha256 != expected and self._flagged(content)
        return written

    def remove(self, path: str, *, expected: str) -> None:
        """See `Host.remove`."""
        self._host.remove(path, expected=expected)
        self._restarts_already = False

    def sweep(self, path: str) -> tuple[str, ...]:
        """See `Host.sweep`."""
        return self._host.sweep(path)

    def free_bytes(self, path: str) -> int | None:
        """See `Host.free_bytes`."""
        return self._host.free_bytes(path)

    def restart(self) -> None:
        """See `Host.restart`. Changes an annotation of the manifest, unless it was just given its flag.

        What the kubelet makes of it is for the caller to wait for.
        """
        if self._restarts_already:
            self._restarts_already = False
            return
        manifest = self.read(self._manifest_path)
        if manifest is None:
            raise StoppedError(
                f"host {self.name}: there is no manifest at {self._manifest_path}",
                hint="put the manifest of the static pod back, then: keyctl rotate --resume",
            )
        marked = with_restart_mark(manifest.content, self._now().isoformat(), name=f"{self.name}:{self._manifest_path}")
        written = self._host.write(self._manifest_path, marked, expected=manifest.sha256)
        self._marked = (written.sha256, manifest.changed)

    def _flagged(self, manifest: bytes) -> bool:
        return read_flags(manifest, name=f"{self.name}:{self._manifest_path}").encryption_provider_config is not None
