"""Whoever builds a commit gets the bytes that everybody else gets, and not what lies about in a work tree."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging import distribution
from tests.packaging.test_installed import EPOCH, copied_tree


@pytest.fixture
def other_habits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another umask, time zone, language and order of sets."""
    for name, value in (("TZ", "Pacific/Kiritimati"), ("LC_ALL", "C"), ("PYTHONHASHSEED", "17"), ("USER", "else")):
        monkeypatch.setenv(name, value)
    before = os.umask(0o077)
    yield
    os.umask(before)


def made_later(tree: Path) -> Path:
    """The same tree as if every file had come at another time, in a mode that git does not keep."""
    for path in tree.rglob("*"):
        if path.is_file():
            path.chmod(path.stat().st_mode & ~0o077)
            os.utime(path, (EPOCH + 12_345_678, EPOCH + 12_345_678))
    return tree


def hashes(files: tuple[Path, Path]) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_two_builds_in_other_places_at_other_times_with_other_habits_are_the_same_bytes(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    first = distribution.build(copied_tree(tmp_path / "here"), tmp_path / "a", EPOCH)
    request.getfixturevalue("other_habits")
    tree = made_later(copied_tree(tmp_path / "there" / "and deeper"))
    second = distribution.build(tree, tmp_path / "b", EPOCH)
    assert hashes(first) == hashes(second)
    later = distribution.build(tree, tmp_path / "c", EPOCH + 3600)
    assert set(hashes(later).values()).isdisjoint(hashes(first).values())


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A clone with one commit, and in its work tree what is in no commit."""
    root = copied_tree(tmp_path / "clone")
    author = {"GIT_AUTHOR_DATE": f"{EPOCH} +0000", "GIT_COMMITTER_DATE": f"{EPOCH} +0000"}
    names = {f"GIT_{who}_{what}": "a@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    for words in (("init", "--quiet"), ("add", "."), ("commit", "--quiet", "--message", "all of it")):
        subprocess.run(["git", "-C", root, *words], check=True, env=os.environ | author | names, timeout=60)
    (root / "keyctl" / "left_over.py").write_text("SECRET = 1\n")
    (root / "keyctl" / "errors.py").write_text("raise SystemExit\n")
    return root


def test_what_is_distributed_is_the_last_commit_with_its_time_and_its_sums(repository: Path, tmp_path: Path) -> None:
    target = tmp_path / "dist"
    target.mkdir()
    for stale in ("kube_keyctl-0.0.9-py3-none-any.whl", distribution.SUMS):
        (target / stale).write_text("of before")
    commit, files = distribution.distribute(target, repository)
    assert (commit.epoch, commit.dirty) == (EPOCH, True)
    of_tree = distribution.build(copied_tree(tmp_path / "clean"), tmp_path / "clean-dist", EPOCH)
    assert hashes(files) == hashes(of_tree)
    assert {path.name for path in target.iterdir()} == {distribution.SUMS, *(file.name for file in files)}
    subprocess.run(["sha256sum", "--check", "--strict", distribution.SUMS], cwd=target, check=True, timeout=60)
    files[0].write_bytes(b"other")
    assert subprocess.run(["sha256sum", "--check", distribution.SUMS], cwd=target, check=False, timeout=60).returncode


def test_outside_of_a_repository_nothing_is_distributed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(distribution.NoCommitError):
        distribution.distribute(tmp_path / "dist", tmp_path)
