"""The files of a control-plane host, as values: changed one at a time, then written below a directory with their modes.

Two static pods, what their flags name, etcd's data directory. Starts nothing, and audits nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

MANIFESTS = "/etc/kubernetes/manifests"
PKI = "/etc/kubernetes/pki"
CONFIG = "/etc/kubernetes/enc/enc.yaml"
POLICY = "/etc/kubernetes/audit/policy.yaml"
LOG = "/var/log/kubernetes/audit.log"
DATA = "/var/lib/etcd"
DATABASE = f"{DATA}/member/snap/db"
SNAPSHOT = "/var/backups/etcd/snapshot.db"
PRIVATE, READABLE = 0o600, 0o644
SERVER, ETCD = "kube-apiserver", "etcd"
# What the flags name on the host; a prefix of etcd's keys begins with a slash, too.
_PLACE = re.compile(r"(?<==)(?=/(?:etc|var)/)")


@dataclass(frozen=True, slots=True)
class Stored:
    """A file's content and mode; `owner` is who it is given to, None for who writes it."""

    content: bytes = field(repr=False)
    mode: int = PRIVATE
    owner: int | None = None


@dataclass(frozen=True, slots=True)
class HostFiles:
    """A host. `commands` are the programs' words, `images` their versions, `seen` the directories in the server's pod.

    Paths are the host's own. `data_mode` is that of etcd's data directory, `modes` those of the manifests.
    """

    commands: Mapping[str, tuple[str, ...]]
    images: Mapping[str, str]
    files: Mapping[str, Stored]
    seen: tuple[str, ...] = ("/etc/kubernetes/enc", "/etc/kubernetes/audit", PKI)
    data_mode: int = 0o700
    modes: Mapping[str, int] = field(default_factory=dict)

    def told(self, program: str, name: str, value: str) -> HostFiles:
        """With `--name=value`, in the place of the flag where there is one."""
        flag, words = f"--{name}={value}", self.commands[program]
        if not any(_is(word, name) for word in words):
            return self._started(program, (*words, flag))
        return self._started(program, tuple(flag if _is(word, name) else word for word in words))

    def untold(self, program: str, *names: str) -> HostFiles:
        """Without these flags. Raises `ValueError` for one that is not there."""
        words = self.commands[program]
        for name in names:
            if not any(_is(word, name) for word in words):
                raise ValueError(f"{program} has no --{name}")
            words = tuple(word for word in words if not _is(word, name))
        return self._started(program, words)

    def holding(self, path: str, content: bytes | str) -> HostFiles:
        """With other content in a file."""
        raw = content.encode() if isinstance(content, str) else content
        return replace(self, files={**self.files, path: replace(self.files[path], content=raw)})

    def adding(self, path: str, content: bytes) -> HostFiles:
        """With one more file."""
        return replace(self, files={**self.files, path: Stored(content)})

    def saying(self, path: str, old: str, new: str) -> HostFiles:
        """With other words in a file. Raises `ValueError` where the old ones are not there."""
        text = self.files[path].content.decode()
        if old not in text:
            raise ValueError(f"{path} does not say {old!r}")
        return self.holding(path, text.replace(old, new))

    def lacking(self, *paths: str) -> HostFiles:
        """Without these files. Raises `KeyError` for one that is not there."""
        left = dict(self.files)
        for path in paths:
            del left[path]
        return replace(self, files=left)

    def open_to(self, path: str, mode: int) -> HostFiles:
        """With another mode of a file."""
        return replace(self, files={**self.files, path: replace(self.files[path], mode=mode)})

    def given_to(self, path: str, owner: int) -> HostFiles:
        """With another owner of a file."""
        return replace(self, files={**self.files, path: replace(self.files[path], owner=owner)})

    def words(self, program: str, root: Path) -> tuple[str, ...]:
        """The command of a program whose files stand below `root`."""
        return tuple(_PLACE.sub(str(root), word) for word in self.commands[program])

    def write(self, root: Path) -> Path:
        """Lay it out below `root`, with all paths in it below `root` as well."""
        for path, stored in self.files.items():
            place = _put(root, path, stored.content, stored.mode)
            if stored.owner is not None:
                os.chown(place, stored.owner, -1)
        (root / DATA.lstrip("/")).chmod(self.data_mode)
        for program in self.commands:
            mode = self.modes.get(program, PRIVATE)
            _put(root, f"{MANIFESTS}/{program}.yaml", self._manifest(program, root).encode(), mode)
        return root

    def _started(self, program: str, words: tuple[str, ...]) -> HostFiles:
        return replace(self, commands={**self.commands, program: words})

    def _manifest(self, program: str, root: Path) -> str:
        mounts = [f"{root}{path}" for path in self.seen] if program == SERVER else []
        container = {
            "name": program,
            "image": f"registry.k8s.io/{program}:{self.images[program]}",
            "command": list(self.words(program, root)),
            "volumeMounts": [{"name": f"m{n}", "mountPath": path, "readOnly": True} for n, path in enumerate(mounts)],
        }
        volumes = [{"name": f"m{n}", "hostPath": {"path": path}} for n, path in enumerate(mounts)]
        document = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": program, "namespace": "kube-system"},
            "spec": {"containers": [container], "hostNetwork": True, "volumes": volumes},
        }
        text: str = yaml.safe_dump(document, sort_keys=False, width=1000)
        return text


def _is(word: str, name: str) -> bool:
    return word.partition("=")[0] == f"--{name}"


def _put(root: Path, path: str, content: bytes, mode: int) -> Path:
    place = root / path.lstrip("/")
    place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    place.write_bytes(content)
    place.chmod(mode)
    return place
