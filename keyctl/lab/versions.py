"""Which versions the lab runs, from which pinned Go module each comes, and how a program tells its version.

A table and its two readers; nothing is built or run here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from keyctl.errors import WrongUsageError

MODULES = Path(__file__).parent / "modules"
ETCD_VERSION = "3.7.3"
# 1.33 is the newest whose servers do not report what they have loaded, 1.28 the oldest that keyctl is for.
KUBERNETES_VERSIONS: Mapping[str, str] = {"1.37": "1.37.1", "1.36": "1.36.3", "1.33": "1.33.13", "1.28": "1.28.15"}
DEFAULT_KUBERNETES = "1.37"
SERVERS = ("etcd", "etcdctl", "etcdutl", "kube-apiserver")
ON_REQUEST = ("kubectl", "kube-controller-manager")

VERSION_ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "etcd": ("--version",),
    "etcdctl": ("version",),
    "etcdutl": ("version",),
    "kube-apiserver": ("--version",),
    "kube-controller-manager": ("--version",),
    "kubectl": ("version", "--client"),
}
_VERSION = re.compile(r"\bv?(\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the programs of one pinned module are built: `packages` maps a program to its Go package."""

    title: str
    version: str
    directory: Path
    linker_flags: str
    packages: Mapping[str, str]

    @property
    def minor(self) -> tuple[int, int]:
        """Major and minor version: a program found elsewhere must have the same."""
        major, minor, _ = self.version.split(".")
        return int(major), int(minor)

    def module_files(self) -> tuple[bytes, bytes]:
        """The contents of go.mod and go.sum."""
        return (self.directory / "go.mod").read_bytes(), (self.directory / "go.sum").read_bytes()

    def go_version(self) -> tuple[int, int, int]:
        """The oldest Go that builds it, from go.mod's `go` line."""
        found = re.search(r"^go (\d+)\.(\d+)\.(\d+)$", self.module_files()[0].decode(), re.MULTILINE)
        if found is None:
            raise ValueError(f"{self.directory / 'go.mod'} has no go line of three parts")
        return int(found[1]), int(found[2]), int(found[3])


ETCD = Recipe(
    title="etcd",
    version=ETCD_VERSION,
    directory=MODULES / "etcd",
    linker_flags="-s -w",
    packages={
        "etcd": "go.etcd.io/etcd/server/v3",
        "etcdctl": "go.etcd.io/etcd/etcdctl/v3",
        "etcdutl": "go.etcd.io/etcd/etcdutl/v3",
    },
)


def kubernetes(minor: str) -> Recipe:
    """The recipe of Kubernetes `minor` ("1.37"). Raises `WrongUsageError` for one that is not pinned."""
    if minor not in KUBERNETES_VERSIONS:
        raise WrongUsageError(
            f"the lab has no Kubernetes {minor}", hint=f"choose one of {', '.join(KUBERNETES_VERSIONS)}"
        )
    version = KUBERNETES_VERSIONS[minor]
    prefix = "-X k8s.io/component-base/version."
    major, minor_number, _ = version.split(".")
    # NOTE: without these a program built from modules calls itself v0.0.0-master, which API discovery believes.
    stamps = (f"gitVersion=v{version}", f"gitMajor={major}", f"gitMinor={minor_number}", "gitTreeState=clean")
    return Recipe(
        title="Kubernetes",
        version=version,
        directory=MODULES / f"kubernetes-{minor}",
        linker_flags=" ".join(("-s -w", *(prefix + stamp for stamp in stamps))),
        packages={
            name: f"k8s.io/kubernetes/cmd/{name}" for name in ("kube-apiserver", "kubectl", "kube-controller-manager")
        },
    )


def recipe_of(name: str, minor: str) -> Recipe:
    """The recipe that makes program `name`, for Kubernetes `minor`. An unknown name is a `ValueError`."""
    for recipe in (ETCD, kubernetes(minor)):
        if name in recipe.packages:
            return recipe
    raise ValueError(f"the lab knows no program {name}")


def parse_version(output: str) -> tuple[int, int, int] | None:
    """The first version in what a program printed."""
    found = _VERSION.search(output)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None
