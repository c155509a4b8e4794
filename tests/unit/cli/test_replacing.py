"""Several files replaced together: none before all are ready, and what is said when one is and another is not."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from keyctl.cli.replacing import Replacement, no_steps, replace_files
from keyctl.errors import RefusedError, StoppedError, UnusableInputError, WrongUsageError
from keyctl.hosts.local import LocalHost

NAMES = ("first", "second", "third")


@pytest.fixture(autouse=True)
def files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        Path(name).write_text(f"old {name}")


def replace(*names: str) -> None:
    replacements = [Replacement(name, f"old {name}".encode(), f"new {name}".encode()) for name in names or NAMES]
    replace_files(replacements, next_steps=told)


def told(written: Sequence[str], left: Sequence[str]) -> tuple[str, ...]:
    return (f"written {' '.join(written)}", f"left {' '.join(left)}")


def contents() -> dict[str, str]:
    """What stands in the directory, temporaries too."""
    return {path.name: path.read_text() for path in Path().iterdir() if path.is_file()}


OLD = {name: f"old {name}" for name in NAMES}


def failing(number: int, error: OSError) -> Callable[[Path, Path], Path]:
    """A rename that the system refuses the `number`-th time."""
    done: list[Path] = []
    rename = Path.replace

    def replaced(self: Path, target: Path) -> Path:
        done.append(self)
        if len(done) == number:
            raise error
        return rename(self, target)

    return replaced


def test_all_files_are_replaced_in_the_order_given_and_nothing_else_is_left() -> None:
    replace()
    assert contents() == {name: f"new {name}" for name in NAMES}
    replace_files([], next_steps=no_steps)


def _link(path: Path) -> None:
    path.rename("real")
    path.symlink_to("real")


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("place", NAMES)
@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(_link, id="a link"),
        pytest.param(_directory, id="a directory"),
        pytest.param(lambda path: path.write_text("changed"), id="changed meanwhile"),
        pytest.param(Path.unlink, id="gone"),
    ],
)
def test_a_file_that_cannot_be_replaced_stops_all_before_the_first(place: str, spoil: Callable[[Path], object]) -> None:
    spoil(Path(place))
    before = contents()
    with pytest.raises((RefusedError, UnusableInputError), match=f"{place} cannot be replaced, so no file was written"):
        replace()
    assert contents() == before


def test_a_disk_that_is_full_at_the_last_copy_stops_all_before_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    fsync = os.fsync

    def full(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) == len(NAMES):
            raise OSError(28, "No space left on device", "third")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UnusableInputError, match="cannot write third, so no file was written") as caught:
        replace()
    assert caught.value.cause == "No space left on device: third"
    assert contents() == OLD


def test_every_copy_is_synced_before_the_first_file_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    fsync, rename = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        seen.append("sync")
        fsync(descriptor)

    def renamed(self: Path, target: Path) -> Path:
        seen.append("rename")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    replace()
    assert seen[:4] == ["sync", "sync", "sync", "rename"]


def test_a_file_that_changes_while_the_others_are_copied_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = LocalHost.stage

    def staging(self: LocalHost, path: str, content: bytes, *, expected: str) -> Path:
        staged = stage(self, path, content, expected=expected)
        Path("first").write_text("changed")
        return staged

    monkeypatch.setattr(LocalHost, "stage", staging)
    with pytest.raises(RefusedError, match="first cannot be replaced, so no file was written"):
        replace("first", "second")
    assert contents() == {**OLD, "first": "changed"}


def test_a_first_rename_that_fails_leaves_all_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "replace", failing(1, PermissionError(1, "Operation not permitted", "first")))
    with pytest.raises(UnusableInputError, match="cannot write first, so no file was written"):
        replace()
    assert contents() == OLD


def test_a_later_rename_that_fails_says_which_files_are_written_and_which_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Path, "replace", failing(2, PermissionError(1, "Operation not permitted", "second")))
    with pytest.raises(StoppedError, match="first is written, second, third are not") as caught:
        replace()
    assert caught.value.cause == "Operation not permitted: second"
    assert caught.value.hints == ("written first", "left second third")
    assert contents() == {**OLD, "first": "new first"}


def test_a_file_that_changes_after_the_first_rename_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.replace

    def replaced(self: Path, target: Path) -> Path:
        Path("second").write_text("changed")
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", replaced)
    with pytest.raises(StoppedError, match="first is written, second is not") as caught:
        replace("first", "second")
    assert "somebody else changed second" in str(caught.value.cause)
    assert contents() == {**OLD, "first": "new first", "second": "changed"}


def test_an_interrupt_between_two_files_is_told_and_one_before_the_first_is_an_interrupt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = LocalHost.place
    stop_at = "second"

    def placing(self: LocalHost, staged: Path, path: str, content: bytes, *, expected: str) -> object:
        if path == stop_at:
            raise KeyboardInterrupt
        return place(self, staged, path, content, expected=expected)

    monkeypatch.setattr(LocalHost, "place", placing)
    with pytest.raises(StoppedError, match="first is written, second, third are not") as caught:
        replace()
    assert caught.value.cause == "interrupted"
    stop_at = "third"
    with pytest.raises(KeyboardInterrupt):
        replace("third")
    assert contents() == {**OLD, "first": "new first"}


def test_a_rename_that_was_done_counts_though_what_follows_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsynced(_: Path) -> None:
        raise OSError(5, "Input/output error", ".")

    monkeypatch.setattr("keyctl.hosts.local._sync_directory", unsynced)
    with pytest.raises(StoppedError, match="first is written, second is not"):
        replace("first", "second")
    with pytest.raises(StoppedError, match="third is written, and then the system failed"):
        replace("third")
    assert contents() == {"first": "new first", "second": "old second", "third": "new third"}


def test_a_single_file_is_refused_in_words_for_one_file() -> None:
    _link(Path("first"))
    with pytest.raises(RefusedError, match=r"^first was not written$"):
        replace("first")
    Path("second").unlink()
    with pytest.raises(RefusedError, match=r"^second was not written$"):
        replace("second")


@pytest.mark.parametrize("other", ["./first", "sub/../first"])
def test_one_file_under_two_names_is_wrong_usage(other: str) -> None:
    Path("sub").mkdir()
    twice = [Replacement(path, b"old first", b"new first") for path in ("first", other)]
    with pytest.raises(WrongUsageError, match="named twice"):
        replace_files(twice, next_steps=no_steps)
    assert contents() == OLD
