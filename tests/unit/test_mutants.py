"""The guards that `make mutants` removes can be removed, every rule has some, and the page lists them all."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from keyctl.cli.rules import RULES
from tests.mutants.__main__ import Run, apply
from tests.mutants.mutant import Mutant
from tests.mutants.table import MUTANTS, PAGE, page

ROOT = Path(__file__).parents[2]

GUARD = Mutant("R1", "a guard", "keyctl/one.py", "if bad:", "if False:", "tests/test_one.py::test_one")


def functions(path: Path) -> set[str]:
    """The names of the functions of a module."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return {node.name for node in body if isinstance(node, ast.FunctionDef)}


def test_every_guard_stands_once_in_its_file_and_the_program_without_it_parses() -> None:
    for mutant in MUTANTS:
        source = (ROOT / mutant.file).read_text(encoding="utf-8")
        without = mutant.apply(source)
        assert ast.dump(ast.parse(without)) != ast.dump(ast.parse(source)), mutant.guard


def test_every_rule_has_a_guard_and_no_guard_is_there_twice() -> None:
    assert {mutant.rule for mutant in MUTANTS} == set(RULES)
    assert [found for found, times in Counter((m.file, m.old, m.new) for m in MUTANTS).items() if times > 1] == []
    assert [found for found, times in Counter((m.rule, m.guard) for m in MUTANTS).items() if times > 1] == []


def test_every_test_that_turns_red_exists() -> None:
    files = {mutant.test.partition("::")[0] for mutant in MUTANTS}
    known = {(name, function) for name in files for function in functions(ROOT / name)}
    named = {(name, rest.partition("[")[0]) for name, _, rest in (mutant.test.partition("::") for mutant in MUTANTS)}
    assert sorted(named - known) == []


def test_the_page_lists_every_guard_of_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: make generate"


@pytest.mark.parametrize("source", ["", "if bad:\n    pass\nif bad:\n    pass\n"], ids=["gone", "twice"])
def test_a_guard_that_does_not_stand_there_once_cannot_be_removed(source: str) -> None:
    with pytest.raises(ValueError, match="a guard"):
        GUARD.apply(source)


def test_the_program_without_a_guard_is_compiled_anew(tmp_path: Path) -> None:
    package = tmp_path / "keyctl"
    compiled = package / "__pycache__" / "one.cpython-311.pyc"
    other = package / "__pycache__" / "one_more.cpython-311.pyc"
    compiled.parent.mkdir(parents=True)
    (package / "one.py").write_text("if bad:\n    stop()\n")
    for path in (compiled, other):
        path.touch()
    apply(GUARD, tmp_path)
    assert (package / "one.py").read_text() == "if False:\n    stop()\n"
    assert not compiled.exists()
    assert other.exists()


@pytest.mark.parametrize(
    ("exit_code", "said", "verdict"),
    [
        pytest.param(1, "FAILED tests/test_one.py::test_one - AssertionError: no\n", "red", id="an assertion"),
        pytest.param(1, "FAILED tests/test_one.py::test_one - Failed: DID NOT RAISE\n", "red", id="nothing raised"),
        pytest.param(1, "FAILED tests/test_one.py::test_one[a - b] - Failed: no\n", "red", id="a dash in the name"),
        pytest.param(0, "1 passed\n", "STILL GREEN", id="passed"),
        pytest.param(0, "1 xfailed\n", "STILL GREEN", id="expected to fail"),
        pytest.param(1, "FAILED tests/test_one.py::test_one - NameError: bad\n", "BROKEN", id="badly cut"),
        pytest.param(1, "ERROR tests/test_one.py::test_one - OSError: no\n", "BROKEN", id="no set-up"),
        pytest.param(2, "ERROR tests/test_one.py - ImportError: no\n", "BROKEN", id="not collected"),
        pytest.param(4, "ERROR: not found: tests/test_one.py::test_two\n", "BROKEN", id="not there"),
        pytest.param(5, "no tests ran\n", "BROKEN", id="none"),
        pytest.param(None, "no end within 120 s", "BROKEN", id="no end"),
    ],
)
def test_only_a_test_that_failed_is_red(exit_code: int | None, said: str, verdict: str) -> None:
    assert Run(exit_code, said).verdict == verdict
