"""`keyctl config migrate`: today's kind, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyctl.cli.main import run
from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.judge import judge
from keyctl.errors import ExitCode
from tests.unit.cli.test_config_fix import MISINDENTED, given_stdin, place
from tests.unit.encryption_config.configs import keys_of
from tests.unit.encryption_config.repair.test_repairs import BODY, LEGACY


@pytest.fixture(autouse=True)
def directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_migrate_changes_the_kind_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    path = place(LEGACY + BODY)
    assert run(["config", "migrate", "enc.yaml"]) == ExitCode.OK
    assert path.read_text() == LEGACY + BODY
    assert run(["config", "migrate", "enc.yaml", "--write"]) == ExitCode.OK
    assert decode(path.read_bytes(), name="e").config == decode((LEGACY + BODY).encode(), name="e").config
    assert not any(one.id == "KC-CFG-008" for one in judge(path.read_bytes(), name="e").findings)
    capsys.readouterr()
    assert run(["config", "migrate", "enc.yaml", "--write"]) == ExitCode.OK
    assert capsys.readouterr().out == "enc.yaml: nothing to fix\n"
    assert keys_of(decode(path.read_bytes(), name="e").config) == ["key1"]


def test_migrate_repairs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    path = place(MISINDENTED)
    assert run(["config", "migrate", "enc.yaml", "--write"]) == ExitCode.UNUSABLE
    assert path.read_text() == MISINDENTED
    given_stdin(monkeypatch, LEGACY + BODY)
    assert run(["config", "migrate", "-", "--write"]) == ExitCode.USAGE
