"""The page of accidents names tests that exist: whoever renames or deletes one has to look at the accident again."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_TEST = "`[^`]+`"
_ROW = re.compile(rf"^\| (?P<accident>[^|]+) \| (?P<where>[^|]+) \| (?P<tests>{_TEST}(?:, {_TEST})*) \|$")


def rows() -> list[tuple[str, list[str]]]:
    """The accident and the test ids of each row of the page."""
    lines = (ROOT / "docs" / "bug-museum.md").read_text().splitlines()
    table = [line for line in lines if line.startswith("| ")][1:]
    found = [_ROW.match(line) for line in table]
    assert all(found), [line for line, match in zip(table, found, strict=True) if not match]
    return [(match["accident"], re.findall(r"`([^`]+)`", match["tests"])) for match in found if match]


def functions_in(file: Path) -> set[str]:
    """The functions that a file of tests has."""
    return {node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)}


def test_every_accident_has_tests_that_are_there() -> None:
    missing = []
    for accident, tests in rows():
        for test in tests:
            path, _, name = test.partition("::")
            if name not in functions_in(ROOT / "tests" / path):
                missing.append(f"{accident}: {test}")
    assert missing == []


def test_every_scene_on_real_servers_is_on_the_page() -> None:
    files = sorted((ROOT / "tests" / "museum").glob("test_*.py"))
    scenes = {
        f"museum/{file.name}::{name}" for file in files for name in functions_in(file) if name.startswith("test_")
    }
    assert len(scenes) > 10
    assert scenes - {test for _, tests in rows() for test in tests} == set()


def test_no_accident_is_told_twice() -> None:
    accidents = [accident for accident, _ in rows()]
    assert len(set(accidents)) == len(accidents) > 30
