"""`keyctl snapshot forget`: what it asks, what it lets go, and what it says of the keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyctl.cli import main
from keyctl.cli.checkup import keeping, subject
from keyctl.errors import ExitCode
from tests.support.hints import wrong_hints
from tests.unit.cli.test_keys import answering
from tests.unit.cli.test_snapshot import Scene, save, scene
from tests.unit.cli.test_wiring import NOTHING

__all__ = ["scene"]


def forget(*arguments: str) -> int:
    return main.run(["snapshot", "forget", *arguments])


def lose(scene: Scene) -> None:
    for path in scene.folder.glob("s.db*"):
        path.unlink()


@pytest.fixture
def lost(scene: Scene, capsys: pytest.CaptureFixture[str]) -> Scene:
    """A snapshot s.db was saved, and its file is gone."""
    assert save("s.db", "-q") == ExitCode.OK
    lose(scene)
    return scene


def test_a_name_is_used_again_and_both_are_forgotten_by_name(lost: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    assert save("s.db") == ExitCode.OK
    assert f"keyctl snapshot forget {lost.folder / 's.db'}@gone" in capsys.readouterr().out
    assert forget("s.db@gone", "--yes") == ExitCode.OK
    assert capsys.readouterr().out.splitlines() == [
        f"forgotten: {lost.folder / 's.db'}@gone",
        "keys held back by no registered backup any more: none",
        "keys still held back by others: aescbc:key1",
    ]
    assert forget("s.db", "--yes") == ExitCode.REFUSED
    assert "remove it first" in capsys.readouterr().err
    lose(lost)
    assert forget("s.db", "--yes") == ExitCode.OK
    assert "any more: aescbc:key1\n" in capsys.readouterr().out
    assert lost.store.backups() == ()


def test_off_a_terminal_it_asks_for_yes_and_forgets_nothing(lost: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    assert forget("s.db") == ExitCode.REFUSED
    assert "say --yes" in capsys.readouterr().err
    assert len(lost.store.backups()) == 1


@pytest.mark.parametrize(("answer", "code", "left"), [("y", ExitCode.OK, 0), ("n", ExitCode.INTERRUPTED, 1)])
def test_on_a_terminal_it_asks_after_what_it_means_for_the_keys(
    lost: Scene,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: str,
    code: ExitCode,
    left: int,
) -> None:
    answering(monkeypatch, answer)
    assert forget("s.db") == code
    assert "keys held back by no registered backup any more: aescbc:key1" in capsys.readouterr().err
    assert len(lost.store.backups()) == left


def test_a_file_that_was_never_registered_is_told(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    assert forget("never.db", "--yes") == ExitCode.UNUSABLE
    assert wrong_hints([capsys.readouterr().err]) == []


def test_the_register_of_the_cluster_that_is_named_is_the_one(lost: Scene, tmp_path: Path) -> None:
    (lost.folder / "keyctl.yaml").rename(lost.folder / "other.yaml")
    assert forget("s.db", "--yes") == ExitCode.USAGE
    assert forget("s.db", "--yes", "--cluster", "other.yaml") == ExitCode.OK


def test_copies_of_a_snapshot_whose_name_was_used_again_are_nothing_that_doctor_misses(lost: Scene) -> None:
    def missed() -> list[str]:
        items = keeping.look_at_snapshots(subject.find(NOTHING), lost.store)
        return [item.finding.message for item in items if "is not there" in item.finding.message]

    assert len(missed()) == 1
    assert save("s.db", "-q") == ExitCode.OK
    assert (len(lost.store.backups()), missed()) == (2, [])
