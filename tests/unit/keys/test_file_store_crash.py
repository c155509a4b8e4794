"""What a killed or a competing run leaves, and what the next one makes of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keyctl.keys.backups import Backup, BackupKind
from keyctl.keys.file_store import FileKeyStore
from keyctl.keys.key import Key, Provider
from tests.support.kill_points import kill_points

_KEY = Key(Provider.AESCBC, "key1", bytes(range(32)))
_BACKUP = Backup(BackupKind.SNAPSHOT, "/backup/a.db", "2026-11-21T10:00:00+00:00", 117, (_KEY.ref,), "ab" * 32)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state" / "keys"


def _store(directory: Path) -> FileKeyStore:
    return FileKeyStore(directory, cluster="prod", clock=lambda: datetime(2026, 11, 21, 10, tzinfo=UTC))


def _key_file(directory: Path) -> Path:
    return directory / "aescbc.key1.key.json"


def test_a_put_killed_at_any_step_is_complete_or_undone_for_the_next_run(directory: Path) -> None:
    kills = 0
    for _ in kill_points(lambda: _store(directory).put(_KEY, origin="generated")):
        kills += 1
        placed = _key_file(directory).exists()
        records = _store(directory).records()
        assert [record.ref for record in records] == ([_KEY.ref] if placed else [])
        ledger = directory / "ledger.jsonl"
        assert (ledger.exists() and ledger.read_bytes().count(b"\n")) == placed
        assert _store(directory).get(_KEY.ref) == (_KEY if placed else None)
        assert not list(directory.glob(".keyctl-*")) if directory.exists() else True
        record = _store(directory).put(_KEY, origin="generated")
        assert _store(directory).records() == (record,)
        assert _store(directory).get(_KEY.ref) == _KEY
        shutil.rmtree(directory.parent)
    assert kills > 12


def test_a_change_of_state_killed_at_any_step_can_be_noted_again(directory: Path) -> None:
    _store(directory).put(_KEY, origin="generated")
    kills = 0
    for _ in kill_points(lambda: _store(directory).note_state(_KEY.ref, "active")):
        kills += 1
        assert _store(directory).records()[0].state in ("pre-activation", "active")
        record = _store(directory).note_state(_KEY.ref, "active")
        assert [step.state for step in record.history] == ["pre-activation", "active"]
        assert _store(directory).records() == (record,)
        shutil.rmtree(directory)
        _store(directory).put(_KEY, origin="generated")
    assert kills > 3


def test_a_destruction_killed_at_any_step_left_the_whole_key_or_is_finished_by_the_next_run(directory: Path) -> None:
    def deactivate() -> None:
        _store(directory).put(_KEY, origin="imported")
        _store(directory).note_state(_KEY.ref, "deactivated")

    deactivate()
    seen = set()
    for _ in kill_points(lambda: _store(directory).destroy(_KEY.ref)):
        (record,) = _store(directory).records()
        seen.add(record.state)
        destroyed = record.state == "destroyed"
        assert _key_file(directory).exists() is not destroyed
        assert _store(directory).get(_KEY.ref) == (None if destroyed else _KEY)
        record = _store(directory).destroy(_KEY.ref)
        assert [step.state for step in record.history] == ["active", "deactivated", "destroyed"]
        assert _store(directory).records() == (record,)
        assert not _key_file(directory).exists()
        shutil.rmtree(directory)
        deactivate()
    assert seen == {"deactivated", "destroyed"}


def test_finishing_a_destruction_may_be_killed_too(directory: Path) -> None:
    def half_destroy() -> None:
        _store(directory).put(_KEY, origin="imported")
        _store(directory).note_state(_KEY.ref, "deactivated")
        content = _key_file(directory).read_bytes()
        _store(directory).destroy(_KEY.ref)
        _key_file(directory).write_bytes(content)
        _key_file(directory).chmod(0o600)

    half_destroy()
    kills = 0
    for _ in kill_points(lambda: _store(directory).records()):
        kills += 1
        assert _store(directory).get(_KEY.ref) is None
        assert not _key_file(directory).exists()
        shutil.rmtree(directory)
        half_destroy()
    assert kills > 4


def test_a_backup_noted_or_forgotten_by_a_killed_run_is_registered_or_not_and_can_be_again(directory: Path) -> None:
    def note() -> None:
        _store(directory).note_backup(_BACKUP)

    def forget() -> None:
        _store(directory).forget_backup(_BACKUP.location)

    cases: list[tuple[Callable[[], None], tuple[Backup, ...], Callable[[], None]]]
    cases = [(note, (_BACKUP,), forget), (forget, (), note)]
    for act, wanted, way_back in cases:
        kills = 0
        for _ in kill_points(act):
            kills += 1
            if _store(directory).backups() != wanted:
                act()
            assert _store(directory).backups() == wanted
            way_back()
        assert kills > 3
        assert _store(directory).backups() == wanted


_RACE = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from keyctl.errors import RefusedError
from keyctl.keys.file_store import FileKeyStore
from keyctl.keys.key import Key, Provider
store = FileKeyStore(Path(sys.argv[1]), cluster="prod", clock=lambda: datetime.now(UTC))
sys.stdin.readline()
try:
    store.put(Key(Provider.AESCBC, "key1", bytes([int(sys.argv[2])]) * 32), origin="generated")
except RefusedError as error:
    print(error.rule)
else:
    print("won")
"""


def test_of_two_processes_that_put_other_bytes_under_one_name_exactly_one_wins(directory: Path) -> None:
    def start(number: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", _RACE, str(directory), str(number)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    with start(1) as first, start(2) as second:
        for child in (first, second):
            assert child.stdin
            child.stdin.write("\n")
            child.stdin.flush()
        answers = [first.communicate(timeout=30)[0].strip(), second.communicate(timeout=30)[0].strip()]
    assert sorted(answers) == ["R5", "won"]
    key = _store(directory).get(_KEY.ref)
    assert key is not None
    assert key.material == bytes([1 + answers.index("won")]) * 32
