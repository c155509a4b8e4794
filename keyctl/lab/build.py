"""Find the lab's programs, or build them once from the pinned Go modules and keep them.

In this order: `KEYCTL_LAB_BIN`, `KUBEBUILDER_ASSETS`, `PATH`, the cache, a
build. A program counts only when it says it is of the right minor version.
Nothing is started here but compilers and `--version`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath

from keyctl.errors import UnreachableError, UnusableInputError
from keyctl.lab.locking import locked
from keyctl.lab.toolchain import OWN_HINT, Toolchain, find_go, go_environment
from keyctl.lab.versions import DEFAULT_KUBERNETES, VERSION_ARGUMENTS, Recipe, parse_version, recipe_of

BUILD_SECONDS = 3600
HEARTBEAT_SECONDS = 30
Progress = Callable[[str], None]


def binaries(names: Iterable[str], *, kubernetes: str = DEFAULT_KUBERNETES, progress: Progress) -> dict[str, Path]:
    """The path of each program of `names`; what is built, from what and where it stays goes to `progress`.

    Raises `UnusableInputError` (a wrong KEYCTL_LAB_BIN, no usable Go) and `UnreachableError` (packages or modules
    could not be had, the build failed).
    """
    recipes = {name: recipe_of(name, kubernetes) for name in names}
    chosen = os.environ.get("KEYCTL_LAB_BIN")
    if chosen:
        return {name: _required(Path(chosen), name, recipe) for name, recipe in recipes.items()}
    found = {name: _installed(name, recipe) for name, recipe in recipes.items()}
    paths = {name: path for name, path in found.items() if path is not None}
    for directory in dict.fromkeys(recipe.directory for name, recipe in recipes.items() if name not in paths):
        wanted = [name for name, recipe in recipes.items() if recipe.directory == directory and name not in paths]
        paths.update(built(recipes[wanted[0]], wanted, progress))
    return paths


def built(recipe: Recipe, names: list[str], progress: Progress) -> dict[str, Path]:
    """The programs `names` of one module, from the cache or built into it; raises as `binaries` does."""
    toolchain = find_go(recipe.go_version(), cache_root(), progress)
    home = cache_root() / cache_key(recipe, toolchain)
    kept = {name: home / "bin" / name for name in names}

    def waiting() -> None:
        progress(f"waiting for another build of {recipe.title} {recipe.version}")

    with locked(home, patience=BUILD_SECONDS, on_wait=waiting):
        missing = [name for name in names if not kept[name].is_file()]
        if missing:
            progress(
                f"building {', '.join(missing)} {recipe.version} once, from the pinned modules in {recipe.directory} "
                f"with {toolchain.version} (a few minutes); kept in {home / 'bin'}"
            )
            started = time.monotonic()
            _build(recipe, missing, toolchain, home, progress)
            progress(f"built {', '.join(missing)} in {time.monotonic() - started:.0f} s")
    return kept


def at_hand(names: Iterable[str], *, kubernetes: str = DEFAULT_KUBERNETES) -> dict[str, Path] | None:
    """The path of each program of `names` that is there already, built or installed; None when one is missing.

    Nothing is built, and no Go is looked for. Raises `UnusableInputError` for a wrong KEYCTL_LAB_BIN.
    """
    recipes = {name: recipe_of(name, kubernetes) for name in names}
    if chosen := os.environ.get("KEYCTL_LAB_BIN"):
        return {name: _required(Path(chosen), name, recipe) for name, recipe in recipes.items()}
    found = {name: _installed(name, recipe) or _kept(name, recipe) for name, recipe in recipes.items()}
    paths = {name: path for name, path in found.items() if path is not None}
    return paths if len(paths) == len(found) else None


def version_of(program: Path, name: str) -> tuple[int, int, int] | None:
    """The version that a program says it has, None where it says none."""
    try:
        answer = subprocess.run(  # noqa: S603 - a program the user put on PATH or named, fixed arguments
            [str(program), *VERSION_ARGUMENTS[name]], capture_output=True, timeout=60, text=True, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return parse_version(answer.stdout)


def cache_root() -> Path:
    """Where built programs are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "keyctl" / "lab"


def cache_key(recipe: Recipe, toolchain: Toolchain) -> str:
    """A name that changes with everything that decides the output: module files, Go, platform, flags, packages."""
    texts = (toolchain.version, toolchain.platform, toolchain.cgo, recipe.linker_flags, *recipe.packages.values())
    digest = hashlib.sha256()
    for part in (*recipe.module_files(), *(text.encode() for text in texts)):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:24]


def _required(directory: Path, name: str, recipe: Recipe) -> Path:
    program = directory.absolute() / name
    version = version_of(program, name)
    if version is None or version[:2] != recipe.minor:
        said = ".".join(map(str, version)) if version else "no version"
        raise UnusableInputError(
            f"KEYCTL_LAB_BIN has no {name} {recipe.version}",
            cause=f"{program} says {said}" if program.exists() else f"{program} does not exist",
            hint="unset KEYCTL_LAB_BIN to let keyctl build it",
        )
    return program


def _installed(name: str, recipe: Recipe) -> Path | None:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    candidates = [str(Path(assets).absolute() / name)] if assets else []
    on_path = shutil.which(name)
    candidates += [on_path] if on_path else []
    for candidate in map(Path, candidates):
        version = version_of(candidate, name)
        if version is not None and version[:2] == recipe.minor:
            return candidate
    return None


def _kept(name: str, recipe: Recipe) -> Path | None:
    """One of the right version in the cache, whatever it was built with."""
    for candidate in sorted(cache_root().glob(f"*/bin/{name}")):
        version = version_of(candidate, name)
        if version is not None and ".".join(map(str, version)) == recipe.version:
            return candidate
    return None


def _build(recipe: Recipe, names: list[str], toolchain: Toolchain, home: Path, progress: Progress) -> None:
    (home / "bin").mkdir(exist_ok=True)
    for leftover in home.glob(".building-*"):
        shutil.rmtree(leftover)
    with tempfile.TemporaryDirectory(prefix=".building-", dir=home) as staging:
        command = [str(toolchain.go), "build", "-C", str(recipe.directory), "-mod=readonly", "-trimpath"]
        command += ["-ldflags", recipe.linker_flags, "-o", f"{staging}/", *(recipe.packages[name] for name in names)]
        _compile(command, Path(staging) / "log", ", ".join(names), progress)
        for name in names:
            # NOTE: go names a program after its package: etcd's is "server".
            output = PurePosixPath(recipe.packages[name].removesuffix("/v3")).name
            (Path(staging) / output).rename(home / "bin" / name)


def _compile(command: list[str], log: Path, what: str, progress: Progress) -> None:
    started = time.monotonic()
    with (
        log.open("wb") as output,
        subprocess.Popen(  # noqa: S603 - the toolchain found above, fixed arguments
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=go_environment()
        ) as compiler,
    ):
        try:
            while compiler.poll() is None and (elapsed := time.monotonic() - started) < BUILD_SECONDS:
                with suppress(subprocess.TimeoutExpired):
                    compiler.wait(HEARTBEAT_SECONDS)
                    break
                progress(f"still building {what} ({elapsed + HEARTBEAT_SECONDS:.0f} s)")
        finally:
            if compiler.poll() is None:
                compiler.kill()
    if compiler.returncode:
        lines = log.read_text(errors="replace").strip().splitlines()
        raise UnreachableError(
            f"go build of {what} failed",
            cause="; ".join(lines[-3:]) or f"exit code {compiler.returncode}",
            hint=f"look at Go's module settings: go env GOPROXY GOSUMDB; {OWN_HINT}",
        )
