"""The page of accidents names tests that exist: whoever renames or deletes one has to look at the accident again."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_ROW = re.compile(r"^\| (?P<accident>[^|]+) \| (?P<where>[^|]+) \| `(?P<test>[^`]+)` \|$")


def rows() -> list[tuple[str, str]]:
    """(accident, test id) of each row of the page."""
    lines = (ROOT / "docs" / "bug-museum.md").read_text().splitlines()
    table = [line for line in lines if line.startswith("| ")][1:]
    found = [_ROW.match(line) for line in table]
    assert all(found), [line for line, match in zip(table, found, strict=True) if not match]
    return [(match["accident"], match["test"]) for match in found if match]


def test_every_accident_has_a_test_that_is_there() -> None:
    missing = []
    for accident, test in rows():
        path, _, name = test.partition("::")
        file = ROOT / "tests" / path
        names = {node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)}
        if name not in names:
            missing.append(f"{accident}: {test}")
    assert missing == []


def test_no_accident_is_told_twice() -> None:
    accidents = [accident for accident, _ in rows()]
    assert len(set(accidents)) == len(accidents) > 30
