"""Every keyctl command that a message, a help text or a page names is one that keyctl takes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hints import PLACEHOLDER, wrong_commands

ROOT = Path(__file__).parents[3]


def texts(tree: ast.AST) -> Iterator[str]:
    """Every string but docstrings; what an f-string fills in is a placeholder where a word is due."""
    parts: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            statement = node.body[0]
            assert isinstance(statement, ast.Expr)
            parts.add(statement.value)
        elif isinstance(node, ast.JoinedStr):
            parts.update(node.values)
            yield filled(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in parts:
            yield node.value


def filled(node: ast.JoinedStr) -> str:
    text = ""
    for part in node.values:
        if isinstance(part, ast.Constant):
            text += str(part.value)
        elif text.endswith((" ", "'", '"')):
            text += PLACEHOLDER
    return text


@pytest.mark.parametrize("path", sorted((ROOT / "keyctl").rglob("*.py")), ids=lambda path: path.stem)
def test_every_command_that_a_message_names_is_one_that_keyctl_takes(path: Path) -> None:
    named = [problem for text in texts(ast.parse(path.read_text())) for problem in wrong_commands(text)]
    assert named == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("go on with: keyctl rotate --resume", None),
        ("keyctl rotate --dry-run    shows how", None),
        ("look: keyctl explain R10, then go on", None),
        ("keyctl rotates static keys", None),
        ("before the key leaves, keyctl compacts, or waits", None),
        ("start one (keyctl lab up)", None),
        ("or compact now: keyctl rotate --resume --history compact", None),
        ("keyctl rotate --resume --history never", "'never' is not one of"),
        ("keyctl rotate --resume --history", "requires an argument"),
        ("keyctl keys reveal prints it", "no command 'reveal'"),
        ("keyctl config paint prints it", "no command 'paint'"),
        ("keyctl rotate --force", "No such option"),
        ("keyctl rotate --provider enigma", "'enigma' is not one of"),
        ("keyctl config new", "Missing argument 'FILE'"),
        ("keyctl show", "belongs to the kernel keyring tool"),
    ],
)
def test_a_command_that_does_not_exist_is_found_in_a_sentence(text: str, problem: str | None) -> None:
    found = wrong_commands(text)
    assert len(found) == (problem is not None)
    if problem:
        assert problem in found[0]
