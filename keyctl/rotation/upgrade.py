"""Whether an upgrade of Kubernetes is under way, by the versions of the API servers and of their manifests.

Pure. While servers are replaced one after the other, their manifests are written anew
by somebody else, and a server may come up without what a rotation gave it. A version
that is not known shows nothing, either way.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_VERSION = re.compile(r"v?([0-9]+\.[0-9]+\.[0-9]+(?:-(?:alpha|beta|rc)\.[0-9]+)?)")


@dataclass(frozen=True, slots=True)
class ServerVersion:
    """The version that a server says it runs, and the one of the image in its manifest; "" where one is not known."""

    name: str
    runs: str
    manifest: str


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What shows that one is under way, and what ends it."""

    message: str
    cause: str
    hint: str


def upgrade_seen(servers: Sequence[ServerVersion]) -> Upgrade | None:
    """The upgrade that shows in the versions of `servers`; None where none does."""
    running = {server.name: found for server in servers if (found := _plain(server.runs))}
    if len(set(running.values())) > 1:
        listed = ", ".join(f"{name} runs v{version}" for name, version in running.items())
        return Upgrade(
            "an upgrade of Kubernetes is under way: the API servers run different versions",
            listed,
            "bring every API server to one version (kubeadm upgrade node on those that are behind)",
        )
    for server in servers:
        wanted, runs = _plain(server.manifest), _plain(server.runs)
        if wanted and runs and wanted != runs:
            return Upgrade(
                f"an upgrade of Kubernetes is under way on {server.name}: its manifest names another version",
                f"the image in the manifest is of v{wanted}, and v{runs} runs",
                f"wait until {server.name} runs v{wanted}; if it never does, look at its container or mend the image",
            )
    return None


def image_version(image: str) -> str:
    """The version in the tag of an image such as `registry/kube-apiserver:v1.37.1@sha256:…`; "" where none tells it."""
    tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
    return _plain(tag)


def _plain(version: str) -> str:
    """Without what a vendor adds to it: 1.37.1 of v1.37.1+k3s1, v1.37.1-eks-1 and v1.37.1_vmware.1."""
    match = _VERSION.match(version)
    return match[1] if match else ""
