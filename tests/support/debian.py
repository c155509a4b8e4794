"""Programs that tests run and a machine may lack, from Debian's packages unpacked into the cache. Installs nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

from keyctl.lab.build import cache_root
from keyctl.lab.locking import locked

_PATIENCE = 300.0


def debian_packages(name: str, packages: tuple[str, ...]) -> Path | None:
    """What `packages` hold, below a directory of the cache that is called `name`; fetched once, and said so.

    None where there is no apt-get, or no network.
    """
    place = cache_root().parent / "debian" / name
    if not place.exists():
        if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
            return None
        with locked(place.with_name(f"{name}.lock"), patience=_PATIENCE):
            if not place.exists() and not _fetch(place, packages):
                return None
    return place


def do_without(message: str) -> NoReturn:
    """Skip the test that has no program; fail it in CI, where a skip must not pass for a result."""
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def _fetch(place: Path, packages: tuple[str, ...]) -> bool:
    print(f"for tests: fetching Debian's packages {', '.join(packages)} into {place}", file=sys.__stderr__)
    with tempfile.TemporaryDirectory(dir=place.parent) as name:
        directory = Path(name)
        download = ["apt-get", "download", "-q", *packages]
        fetched = subprocess.run(download, cwd=directory, capture_output=True, check=False, timeout=_PATIENCE)
        if fetched.returncode:
            print(fetched.stderr.decode(errors="replace"), file=sys.__stderr__)
            return False
        root = directory / "root"
        for package in directory.glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, root], check=True, timeout=60)
        root.chmod(0o755)
        root.rename(place)
    return True
