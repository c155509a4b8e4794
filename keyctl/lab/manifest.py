"""The static pod manifest of a lab's kube-apiserver: written once, then read as a kubelet would read it.

Text in, text out. It is the only source of a server's flags: whoever edits it and restarts the server has changed them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

import yaml

from keyctl.errors import UnusableInputError

PROGRAM = "kube-apiserver"
_PATH_FLAG = re.compile(r"--[a-z-]*(?:file|config|dir)=(/.*)")
_HINT = "undo the last edit of the manifest, then: keyctl lab restart SERVER"
_HEADER = "# This lab's kubelet is `keyctl lab restart SERVER`: it starts the server with exactly the command below.\n"


@dataclass(frozen=True, slots=True)
class Mount:
    """A directory or file of the host that the container sees, at the same path."""

    name: str
    path: str
    read_only: bool = True


@dataclass(frozen=True, slots=True)
class Pod:
    """What a kubelet needs of the manifest: the whole command, and the paths of the host that the container sees."""

    command: tuple[str, ...]
    visible: tuple[str, ...]

    def unseen(self) -> tuple[str, ...]:
        """The absolute paths in the flags that no mount covers: the container would not find them."""
        paths = (found[1] for word in self.command if (found := _PATH_FLAG.fullmatch(word)))
        return tuple(path for path in paths if not any(PurePosixPath(path).is_relative_to(at) for at in self.visible))


def render(command: tuple[str, ...], mounts: tuple[Mount, ...], *, version: str) -> str:
    """The manifest of a pod that runs `command`."""
    document = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": PROGRAM,
            "namespace": "kube-system",
            "labels": {"component": PROGRAM, "tier": "control-plane"},
        },
        "spec": {
            "containers": [
                {
                    "name": PROGRAM,
                    "image": f"{PROGRAM}:v{version}",
                    "command": list(command),
                    "volumeMounts": [
                        {"mountPath": mount.path, "name": mount.name, "readOnly": mount.read_only} for mount in mounts
                    ],
                }
            ],
            "hostNetwork": True,
            "priorityClassName": "system-node-critical",
            "volumes": [
                {"hostPath": {"path": mount.path, "type": "DirectoryOrCreate"}, "name": mount.name} for mount in mounts
            ],
        },
    }
    text: str = yaml.safe_dump(document, sort_keys=False, width=1000)
    return _HEADER + text


def parse(text: str, name: str) -> Pod:
    """The pod that the manifest of server `name` describes.

    Raises `UnusableInputError` for what a kubelet would not start, or what this one cannot (a mount at another path).
    """
    try:
        spec = yaml.safe_load(text)["spec"]
        container = next(item for item in spec["containers"] if item["name"] == PROGRAM)
        command = (*container["command"], *container.get("args", ()))
        volumes = {item["name"]: item["hostPath"]["path"] for item in spec.get("volumes", ())}
        mounts = [(item["name"], item["mountPath"]) for item in container.get("volumeMounts", ())]
    except (yaml.YAMLError, KeyError, TypeError, StopIteration) as exc:
        raise UnusableInputError(
            f"the manifest of {name} is not a pod that runs {PROGRAM}", cause=type(exc).__name__, hint=_HINT
        ) from exc
    for volume, path in mounts:
        if volumes.get(volume) != path:
            raise UnusableInputError(
                f"the manifest of {name} mounts {volume} at {path}",
                cause=f"its volume is {volumes.get(volume) or 'not there'}; the lab's servers see the host's own paths",
                hint=f"give volume {volume} the hostPath {path}",
            )
    return Pod(command=command, visible=tuple(path for _, path in mounts))
