"""What the agent of a node remembers beside its file: how far renditions have gone, and which file stood there.

It holds hashes and numbers, and never a key.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import PurePosixPath

from keyctl.errors import RefusedError, UnusableInputError
from keyctl.hosts.interface import Host, HostFile

_FORMAT = "keyctl/agent/v1"


@dataclass(frozen=True, slots=True)
class Seen:
    """The newest rendition that this node has dealt with, and the "sha256:…" of the file it last had; "": none yet."""

    seq: int
    digest: str
    file: str


class GoneBackError(RefusedError):
    """An older rendition is wanted than number `seen`, which this node has seen."""

    def __init__(self, message: str, *, seen: int, cause: str, hint: tuple[str, ...]) -> None:
        super().__init__(message, cause=cause, hint=hint, rule="R8")
        self.seen = seen


class NodeMemory:
    """The memory beside the file at `config_path` on `host`, of a node of `cluster`."""

    def __init__(self, host: Host, config_path: str, *, cluster: str) -> None:
        path = PurePosixPath(config_path)
        self._path = str(path.with_name(f".{path.name}.keyctl-agent"))
        self._host = host
        self._cluster = cluster

    @property
    def path(self) -> str:
        """Where it is."""
        return self._path

    def seen(self) -> Seen:
        """What is remembered. Raises `UnusableInputError` when it is damaged, `RefusedError` for another cluster's."""
        return self._decode(self._host.read(self._path))

    def keep(self, seen: Seen) -> None:
        """Remember `seen`; what is remembered already is not written again."""
        file = self._host.read(self._path)
        if self._decode(file) == seen:
            return
        content = {
            "format": _FORMAT,
            "cluster": self._cluster,
            "seq": seen.seq,
            "digest": seen.digest,
            "file": seen.file,
        }
        text = (json.dumps(content) + "\n").encode()
        self._host.write(self._path, text, expected=file.sha256 if file else None)

    def _decode(self, file: HostFile | None) -> Seen:
        if file is None:
            return Seen(0, "", "")
        try:
            fields = json.loads(file.content)
            seen = Seen(int(fields["seq"]), str(fields["digest"]), str(fields["file"]))
            cluster = fields["cluster"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise UnusableInputError(
                f"what this node remembers is damaged: {file.path}", hint=f"look why, then delete it: {file.path}"
            ) from None
        if cluster != self._cluster:
            raise RefusedError(
                f'this node followed cluster "{cluster}", not "{self._cluster}"',
                hint=f"check name in the cluster file; if the node has moved over, delete {file.path}",
            )
        return seen
