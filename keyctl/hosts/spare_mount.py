"""Which mount of a container serves a misplaced encryption flag only, and may go with it.

When in doubt it is not spare: a mount too many does no harm, one too few stops etcd. Pure; changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from keyctl.documents import Node, Scalar, Sequence
from keyctl.hosts.pod import GivenFlag, HostMount, Pod, field_of, items_of, text_of

# What programs keep here they know by their defaults and their configuration files too, so no flag need name it.
_KEPT = tuple(map(PurePosixPath, ("/etc/etcd", "/etc/kubernetes/pki", "/etc/ssl", "/usr", "/var/lib/etcd")))
_CONFIG_FILES = frozenset({"config", "config-file"})


def spare_mount(pod: Pod, path: PurePosixPath, flags: tuple[GivenFlag, ...]) -> HostMount | None:
    """The mount of `path` or of its directory that nothing else but `flags` in the container speaks of, or None."""
    mount = pod.covering(path)
    if mount is None or mount.inside not in (path, path.parent):
        return None
    if any(mount.inside.is_relative_to(kept) or kept.is_relative_to(mount.inside) for kept in _KEPT):
        return None
    # What a configuration file names is not seen here.
    if any(flag.name in _CONFIG_FILES for flag in pod.flags()):
        return None
    named = re.compile(re.escape(str(mount.inside)) + r"(?![\w.-])")
    own = [mount.node, *(word.node for flag in flags for word in flag.words)]
    return None if any(named.search(text) for text in _texts(pod.container, own)) else mount


def volume_is_used(pod: Pod, volume: str) -> bool:
    """Whether a container of the pod mounts `volume`."""
    return any(
        text_of(field_of(mount, "name")) == volume
        for containers in ("containers", "initContainers")
        for container in items_of(field_of(pod.spec, containers))
        for mount in items_of(field_of(container, "volumeMounts"))
    )


def _texts(node: Node, without: list[Node]) -> Iterator[str]:
    if any(node is left_out for left_out in without):
        return
    if isinstance(node, Scalar):
        yield node.text
        return
    for child in node.items if isinstance(node, Sequence) else (value for _, value in node.items):
        yield from _texts(child, without)
