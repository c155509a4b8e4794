"""Other etcds than the lab's own: where each comes from. Built once from pinned modules; Debian's is only unpacked."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from keyctl.lab.build import built
from keyctl.lab.versions import ETCD, ETCD_VERSION, Recipe
from tests.support.binaries import binary
from tests.support.debian import debian_packages, do_without

MODULES = Path(__file__).parent / "modules"
# The module of 3.4 has no published version that builds it, so it is the package of Debian 12.
DEBIAN = "3.4"
DEBIAN_VERSION = "3.4.23"
BUILT: Mapping[str, str] = {"3.6": "3.6.16", "3.5": "3.5.35"}
LAB = ".".join(ETCD_VERSION.split(".")[:2])


def recipe(minor: str) -> Recipe:
    """How etcd `minor` ("3.6") is built. `KeyError` for one that is not pinned here."""
    return Recipe(
        title="etcd",
        version=BUILT[minor],
        directory=MODULES / f"etcd-{minor}",
        linker_flags=ETCD.linker_flags,
        packages=ETCD.packages,
    )


def etcd_programs(minor: str) -> dict[str, Path]:
    """etcd and etcdctl of `minor`, built or fetched when they are not there; raises as `keyctl.lab.build.binaries`."""
    if minor == LAB:
        return {name: binary(name) for name in ("etcd", "etcdctl")}
    if minor != DEBIAN:
        return built(recipe(minor), ["etcd", "etcdctl"], lambda line: print(line, file=sys.__stderr__))
    place = debian_packages("etcd-3.4", ("etcd-server", "etcd-client"))
    if place is None:
        do_without("etcd 3.4 is Debian's package, and there is no apt-get or no network")
    return {name: place / "usr" / "bin" / name for name in ("etcd", "etcdctl")}
