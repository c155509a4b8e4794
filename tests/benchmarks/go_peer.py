"""The Go program of `go_census`, built once from its pinned modules and kept beside the lab's programs."""

from __future__ import annotations

import hashlib
import re
import subprocess
import tempfile
from pathlib import Path

from keyctl.errors import UnreachableError
from keyctl.lab.build import BUILD_SECONDS, cache_root
from keyctl.lab.locking import locked
from keyctl.lab.toolchain import Toolchain, find_go, go_environment
from keyctl.lab.versions import parse_version
from tests.benchmarks.table import say

_SOURCES = Path(__file__).with_name("go_census")
_NAME = "go_census"


def go_census() -> Path:
    """The built program. Raises `UnreachableError` when the build fails, and the errors of `find_go`."""
    toolchain = find_go(_oldest_go(), cache_root(), say)
    home = cache_root() / f"go-census-{_digest(toolchain)}"
    kept = home / _NAME
    with locked(home, patience=BUILD_SECONDS, on_wait=lambda: say("waiting for another build of go_census")):
        if not kept.is_file():
            say(f"building go_census once; kept in {home}")
            with tempfile.TemporaryDirectory(prefix=".building-", dir=home) as staging:
                output = Path(staging) / _NAME
                _build(toolchain, output)
                output.rename(kept)
    return kept


def _build(toolchain: Toolchain, output: Path) -> None:
    command = [str(toolchain.go), "build", "-C", str(_SOURCES), "-mod=readonly", "-trimpath", "-ldflags=-s -w"]
    command += ["-o", str(output), "."]
    try:
        subprocess.run(command, env=go_environment(), capture_output=True, check=True, timeout=BUILD_SECONDS, text=True)
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines()
        raise UnreachableError(
            "go build of go_census failed",
            cause="; ".join(lines[-3:]) or f"exit code {error.returncode}",
            hint="look at Go's module settings: go env GOPROXY GOSUMDB",
        ) from error


def _digest(toolchain: Toolchain) -> str:
    """A name that changes with everything that decides the output."""
    files = (*sorted(_SOURCES.glob("*.go")), _SOURCES / "go.mod", _SOURCES / "go.sum")
    texts = (toolchain.version, toolchain.platform, toolchain.cgo)
    digest = hashlib.sha256()
    for part in (*(file.read_bytes() for file in files), *(text.encode() for text in texts)):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:24]


def _oldest_go() -> tuple[int, int, int]:
    found = re.search(r"^go (\S+)$", (_SOURCES / "go.mod").read_text(), re.MULTILINE)
    version = parse_version(found[1]) if found else None
    if version is None:
        raise ValueError(f"{_SOURCES / 'go.mod'} has no go line of three parts")
    return version
