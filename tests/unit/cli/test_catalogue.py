from __future__ import annotations

import importlib
import pkgutil
import re

import pytest
from click.testing import CliRunner

import keyctl
from keyctl.cli import catalogue
from keyctl.cli.catalogue import CATALOGUE
from keyctl.cli.main import cli
from keyctl.findings import Rule
from tests.support.hints import wrong_commands


def test_each_id_stands_for_one_rule() -> None:
    ids = [rule.id for rule in CATALOGUE]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"KC-[A-Z]{2,4}-[0-9]{3}", one) for one in ids)


def test_every_rule_of_the_code_is_in_the_catalogue() -> None:
    names = [name for _, name, _ in pkgutil.walk_packages(keyctl.__path__, "keyctl.") if not name.endswith("__main__")]
    modules = [importlib.import_module(name) for name in names]
    found = {value for module in modules for value in vars(module).values() if isinstance(value, Rule)}
    assert len(found) > 80
    assert found == set(CATALOGUE)


@pytest.mark.parametrize("rule", CATALOGUE, ids=lambda rule: rule.id)
def test_a_rule_is_explained_in_words_with_commands_that_work(rule: Rule) -> None:
    shown = CliRunner().invoke(cli, ["explain", rule.id.lower()])
    assert shown.exit_code == 0
    assert shown.stdout.startswith(f"{rule.id} ({rule.severity}): {rule.title}\n")
    assert f"## {rule.id}\n" in catalogue.page()
    assert wrong_commands(f"{rule.why}\n{rule.fix}") == []
    assert not rule.title.endswith(".")
    assert rule.why.endswith(".")
    assert not rule.fix.endswith(".")


def test_the_list_names_every_finding() -> None:
    shown = CliRunner().invoke(cli, ["explain", "findings"]).stdout
    assert [line.split()[0] for line in shown.splitlines()] == [rule.id for rule in CATALOGUE]


def test_an_unknown_id_is_wrong_usage() -> None:
    assert CliRunner().invoke(cli, ["explain", "KC-CFG-999"]).exit_code != 0
