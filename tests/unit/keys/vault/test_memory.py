"""What this machine remembers of a ledger, and when it remembers nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyctl.errors import UnreachableError
from keyctl.keys.vault.memory import LedgerMemory, Seen


def test_what_was_noted_is_remembered_by_the_next_run(tmp_path: Path) -> None:
    path = tmp_path / "state" / "vault-ledger.json"
    memory = LedgerMemory(path, location="here")
    assert memory.seen() is None
    memory.note(Seen(3, "c"))
    assert LedgerMemory(path, location="here").seen() == Seen(3, "c")
    assert [entry.name for entry in path.parent.iterdir()] == ["vault-ledger.json"]


def test_what_is_remembered_never_goes_back(tmp_path: Path) -> None:
    memory = LedgerMemory(tmp_path / "f", location="here")
    memory.note(Seen(3, "c"))
    memory.note(Seen(2, "b"))
    assert memory.seen() == Seen(3, "c")


def test_the_memory_of_another_place_says_nothing_and_is_written_over(tmp_path: Path) -> None:
    LedgerMemory(tmp_path / "f", location="there").note(Seen(9, "x"))
    memory = LedgerMemory(tmp_path / "f", location="here")
    assert memory.seen() is None
    memory.note(Seen(1, "a"))
    assert memory.seen() == Seen(1, "a")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]",
        '{"location": "here", "seq": "x", "digest": 1}',
        '{"location"',
        pytest.param("[" * 200_000, id="deep"),
    ],
)
def test_a_damaged_one_says_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "f").write_text(content)
    assert LedgerMemory(tmp_path / "f", location="here").seen() is None


def test_one_that_cannot_be_written_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnreachableError) as caught:
        LedgerMemory(tmp_path / "file" / "f", location="here").note(Seen(1, "a"))
    assert "XDG_STATE_HOME" in caught.value.hints[0]
