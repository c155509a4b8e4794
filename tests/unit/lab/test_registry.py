from __future__ import annotations

import json
from pathlib import Path

import pytest

from keyctl.errors import RefusedError, UnreachableError, WrongUsageError
from keyctl.lab import plane, processes, registry
from keyctl.lab.layout import Layout
from keyctl.lab.processes import ProcessId, Program

GONE = ProcessId(pid=1, started="an earlier start")


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def claim(name: str, directory: Path | None = None) -> Layout:
    layout = registry.claim(name, directory, print)
    layout.run.mkdir()
    return layout


def start_sleep(layout: Layout) -> ProcessId:
    program = Program(command=("/bin/sleep", "60"), record=layout.record("sleep"), log=layout.root / "log")
    return processes.start(program)


def lose_owner(layout: Layout) -> None:
    layout.owner.write_text(json.dumps(GONE.as_document()))


def test_a_claimed_directory_is_private_and_ours() -> None:
    layout = claim("one")
    assert layout.root == registry.labs_root() / "one"
    assert layout.root.stat().st_mode & 0o777 == 0o700
    assert ProcessId(**json.loads(layout.owner.read_text())) == ProcessId.current()
    assert registry.find("one") == layout


def test_a_lab_in_another_directory_is_found_by_name(tmp_path: Path) -> None:
    layout = claim("one", tmp_path / "elsewhere")
    assert registry.find("one").root == tmp_path / "elsewhere"
    assert registry.find("whatever", tmp_path / "elsewhere") == layout


def test_removing_a_lab_stops_its_processes_and_leaves_no_file(tmp_path: Path) -> None:
    layout = claim("one", tmp_path / "elsewhere")
    process = start_sleep(layout)
    assert registry.remove(layout) == 1
    assert not process.alive()
    assert not layout.root.exists()
    assert list(registry.labs_root().iterdir()) == []


def test_a_running_lab_is_not_started_again() -> None:
    layout = claim("one")
    process = start_sleep(layout)
    registry.keep(layout)
    with pytest.raises(RefusedError, match="lab one is already up") as caught:
        claim("one")
    assert caught.value.hints == ("keyctl lab down --name one",)
    assert process.alive()
    registry.remove(layout)


def test_a_lab_whose_owner_was_killed_is_cleaned_by_the_next_claim(tmp_path: Path) -> None:
    abandoned = claim("one", tmp_path / "elsewhere")
    process = start_sleep(abandoned)
    lose_owner(abandoned)
    said: list[str] = []
    registry.claim("two", None, said.append)
    assert not process.alive()
    assert not abandoned.root.exists()
    assert said == ["cleaned lab one, whose owner is gone: 1 processes stopped"]


def test_a_lab_killed_before_it_named_its_owner_is_cleaned() -> None:
    (registry.labs_root() / "half").mkdir(parents=True)
    claim("two")
    assert not (registry.labs_root() / "half").exists()


def test_a_lab_that_was_kept_is_not_cleaned() -> None:
    kept = claim("one")
    registry.keep(kept)
    claim("two")
    assert kept.root.exists()


def test_a_lab_whose_owner_lives_is_not_cleaned() -> None:
    owned = claim("one")
    claim("two")
    assert owned.root.exists()


def test_a_kept_lab_without_a_process_gives_way_to_the_next_of_its_name() -> None:
    first = claim("one")
    (first.root / "old").touch()
    registry.keep(first)
    second = claim("one")
    assert second.root == first.root
    assert not (second.root / "old").exists()


def test_a_stopped_lab_elsewhere_gives_way_to_the_next_of_its_name_in_the_usual_place(tmp_path: Path) -> None:
    first = claim("one", tmp_path / "elsewhere")
    registry.keep(first)
    second = claim("one")
    assert not first.root.exists()
    assert second.root == registry.labs_root() / "one"
    assert not second.root.is_symlink()


def test_a_directory_with_anything_else_in_it_is_refused_and_kept(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis").write_text("years of work")
    with pytest.raises(RefusedError, match="is not empty"):
        claim("one", mine)
    assert (mine / "thesis").exists()
    assert not (registry.labs_root() / "one").is_symlink()


def test_an_entry_that_points_at_something_else_is_dropped_and_its_target_kept(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    registry.labs_root().mkdir(parents=True)
    (registry.labs_root() / "stray").symlink_to(mine)
    claim("one")
    assert mine.is_dir()
    assert not (registry.labs_root() / "stray").is_symlink()


def test_an_unknown_lab_is_refused_with_the_known_ones() -> None:
    claim("one")
    with pytest.raises(WrongUsageError, match="there is no lab two") as caught:
        registry.find("two")
    assert caught.value.cause == "labs here: one"


def test_a_lab_that_is_being_started_can_only_be_given_up() -> None:
    layout = claim("one")
    with pytest.raises(UnreachableError, match="is only being started"):
        plane.find("one")
    registry.remove(layout)
    assert not layout.root.exists()
