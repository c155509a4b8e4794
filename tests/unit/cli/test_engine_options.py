"""`--engine` and `--second-pass`: where they are taken, and where they are refused instead of ignored."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from keyctl.cli import changing
from keyctl.cli.commands.disable import disable
from keyctl.cli.commands.enable import enable
from keyctl.cli.commands.rotate import rotate
from keyctl.errors import WrongUsageError
from keyctl.rotation.agreed import AgreedPlan, read
from keyctl.rotation.plan import Engine, Goal
from keyctl.rotation.preflight import Wish


@pytest.mark.parametrize("command", [rotate, enable, disable], ids=["rotate", "enable", "disable"])
def test_every_change_can_be_made_by_either_engine(command: click.Command, monkeypatch: pytest.MonkeyPatch) -> None:
    wishes: list[Wish] = []
    monkeypatch.setattr(changing, "start", lambda cluster, change, wish: wishes.append(wish))
    for flags in ((), ("--engine", "svm", "--second-pass"), ("--engine", "patch")):
        assert CliRunner().invoke(command, flags).exit_code == 0
    found = [(wish.engine, wish.second_pass) for wish in wishes]
    assert found == [(Engine.PATCH, False), (Engine.SVM, True), (Engine.PATCH, False)]


def test_a_rotation_can_be_gone_on_with_by_another_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    engines: list[Engine | None] = []
    monkeypatch.setattr(changing, "resume", lambda cluster, change: engines.append(change.engine))
    for flags in (("--resume",), ("--resume", "--engine", "patch")):
        assert CliRunner().invoke(rotate, flags).exit_code == 0
    assert engines == [None, Engine.PATCH]


@pytest.mark.parametrize("flags", [("--resume", "--second-pass"), ("--abort", "--second-pass")])
def test_the_second_pass_is_part_of_the_plan_that_was_agreed_to(flags: tuple[str, ...]) -> None:
    assert isinstance(CliRunner().invoke(rotate, flags).exception, WrongUsageError)


@pytest.mark.parametrize("flags", [("--engine", "patch"), ("--engine", "svm"), ("--second-pass",)])
def test_a_saved_plan_says_the_engine_itself(flags: tuple[str, ...], tmp_path: Path) -> None:
    wish = Wish(Goal.ROTATE, engine=Engine.SVM, second_pass=True)
    plan = AgreedPlan("prod", "2026-11-21T10:15:00+00:00", wish, ("1",), {"a": "1"}).to_text().encode()
    assert read(plan, name="p").wish == wish
    file = tmp_path / "rotation.plan"
    file.write_bytes(plan)
    ran = CliRunner().invoke(rotate, ["--apply", str(file), *flags])
    assert isinstance(ran.exception, WrongUsageError)
    assert "carries out what the plan says" in str(ran.exception)
