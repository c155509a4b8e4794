"""Prometheus' own promtool, built once from the pinned module in `tests/promtool`, kept beside the lab's programs."""

from __future__ import annotations

import functools
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from keyctl.errors import UnreachableError
from keyctl.lab.build import BUILD_SECONDS, cache_root
from keyctl.lab.locking import locked
from keyctl.lab.toolchain import Toolchain, find_go, go_environment
from keyctl.lab.versions import parse_version

SOURCES = Path(__file__).parents[1] / "promtool"
_PACKAGE = "github.com/prometheus/prometheus/cmd/promtool"
# NOTE: without the service discoveries, and the clients of all clouds that these bring, it is built in a third of the
# time. Rule tests need none.
_TAGS = "remove_all_sd"


@functools.cache
def promtool() -> Path:
    """The program, built when it is not there. Raises `UnreachableError` when that fails, and what `find_go` raises."""
    toolchain = find_go(_oldest_go(), cache_root(), _progress)
    home = cache_root() / f"promtool-{_digest(toolchain)}"
    kept = home / "promtool"
    with locked(home, patience=BUILD_SECONDS, on_wait=lambda: _progress("waiting for another build of promtool")):
        if not kept.is_file():
            _progress(f"building promtool once (two to four minutes); kept in {home}")
            started = time.monotonic()
            for leftover in home.glob(".building-*"):
                shutil.rmtree(leftover)
            with tempfile.TemporaryDirectory(prefix=".building-", dir=home) as staging:
                output = Path(staging) / "promtool"
                _build(toolchain, output)
                output.rename(kept)
            _progress(f"built promtool in {time.monotonic() - started:.0f} s")
    return kept


def _build(toolchain: Toolchain, output: Path) -> None:
    command = [str(toolchain.go), "build", "-C", str(SOURCES), "-mod=readonly", "-trimpath", "-ldflags=-s -w"]
    command += [f"-tags={_TAGS}", "-o", str(output), _PACKAGE]
    try:
        subprocess.run(command, env=go_environment(), capture_output=True, check=True, timeout=BUILD_SECONDS, text=True)
    except subprocess.CalledProcessError as exc:
        lines = exc.stderr.strip().splitlines()
        raise UnreachableError(
            "go build of promtool failed",
            cause="; ".join(lines[-3:]) or f"exit code {exc.returncode}",
            hint="look at Go's module settings: go env GOPROXY GOSUMDB",
        ) from exc


def _digest(toolchain: Toolchain) -> str:
    """A name that changes with everything that decides the output."""
    digest = hashlib.sha256()
    texts = (_TAGS, toolchain.version, toolchain.platform, toolchain.cgo)
    for part in (*((SOURCES / name).read_bytes() for name in ("go.mod", "go.sum")), *(one.encode() for one in texts)):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:24]


def _oldest_go() -> tuple[int, int, int]:
    found = re.search(r"^go (\S+)$", (SOURCES / "go.mod").read_text(), re.MULTILINE)
    version = parse_version(found[1]) if found else None
    if version is None:
        raise ValueError(f"{SOURCES / 'go.mod'} has no go line of three parts")
    return version


_progress: Callable[[str], None] = functools.partial(print, file=sys.__stderr__)
