"""Build the sdist and the wheel so that anybody gets the same bytes. Publishes nothing, and signs nothing.

`python -m tests.packaging.distribution DIRECTORY` is `make dist`: from the last commit, whatever the work tree holds,
with the time of that commit; the wheel comes out of the sdist, so that the sdist is known to be whole.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SUMS = "SHA256SUMS"
_BACKEND = "import sys; from flit_core import buildapi; print(getattr(buildapi, sys.argv[1])(sys.argv[2]))"
_SECONDS = 300.0


class NoCommitError(Exception):
    """There is no commit to build from."""


@dataclass(frozen=True, slots=True)
class Commit:
    """What is built: a commit's name, its time in seconds since 1970, and whether files differ from it."""

    name: str
    epoch: int
    dirty: bool


def build(tree: Path, target: Path, epoch: int) -> tuple[Path, Path]:
    """The sdist of `tree` and the wheel of that sdist, written into `target` with `epoch` as the time of all files."""
    target.mkdir(parents=True, exist_ok=True)
    sdist = by_backend("build_sdist", tree, target, epoch)
    with tempfile.TemporaryDirectory() as scratch:
        with tarfile.open(sdist) as archive:
            archive.extractall(scratch, filter="data")
        (unpacked,) = Path(scratch).iterdir()
        return sdist, by_backend("build_wheel", unpacked, target, epoch)


def by_backend(hook: str, tree: Path, target: Path, epoch: int) -> Path:
    """Run a hook of the build backend of pyproject.toml, in a process of its own; what it wrote."""
    ran = subprocess.run(
        [sys.executable, "-P", "-c", _BACKEND, hook, str(target.absolute())],
        cwd=tree,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=_SECONDS,
    )
    return target / ran.stdout.split()[-1]


def last_commit(root: Path = ROOT) -> Commit:
    """The commit that is checked out. Raises `NoCommitError` outside of a repository."""
    try:
        name, epoch = _git(root, "log", "-1", "--format=%H %ct").decode().split()
    except (OSError, subprocess.SubprocessError) as exc:
        raise NoCommitError(f"{root} is no clone of the repository, or git is missing") from exc
    return Commit(name, int(epoch), dirty=bool(_git(root, "status", "--porcelain")))


def export(commit: Commit, target: Path, root: Path = ROOT) -> None:
    """The files of `commit`, and no others, written below `target`."""
    packed = target.with_name(f"{target.name}.tar")
    packed.write_bytes(_git(root, "archive", "--format=tar", commit.name))
    with tarfile.open(packed) as archive:
        archive.extractall(target, filter="data")
    packed.unlink()


def write_sums(files: Iterable[Path], target: Path) -> Path:
    """`SHA256SUMS` of `files` beside them, for `sha256sum --check`."""
    lines = (f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in sorted(files))
    sums = target / SUMS
    sums.write_text("".join(lines))
    return sums


def distribute(target: Path, root: Path = ROOT) -> tuple[Commit, tuple[Path, Path]]:
    """Both files of the last commit, with their sums, in `target`; files of another build there are removed."""
    commit = last_commit(root)
    target.mkdir(parents=True, exist_ok=True)
    for leftover in (*target.glob("kube_keyctl-*"), *target.glob("kube-keyctl-*"), target / SUMS):
        leftover.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / "tree"
        export(commit, tree, root)
        files = build(tree, target, commit.epoch)
    write_sums(files, target)
    return commit, files


def _git(root: Path, *words: str) -> bytes:
    return subprocess.run(["git", "-C", root, *words], check=True, capture_output=True, timeout=_SECONDS).stdout


def main(arguments: list[str]) -> int:
    """Build into the directory named; returns the exit code."""
    if len(arguments) != 1:
        _say("usage: python -m tests.packaging.distribution DIRECTORY")
        return 2
    target = Path(arguments[0])
    try:
        commit, files = distribute(target)
    except NoCommitError as exc:
        _say(f"error: {exc}")
        return 1
    left_out = "; what is not committed is not in it" if commit.dirty else ""
    _say(f"built from commit {commit.name}, SOURCE_DATE_EPOCH={commit.epoch}{left_out}")
    _say("".join(f"  {file}\n" for file in (*files, target / SUMS)).rstrip())
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
