"""Every refusal of a rotation names the rule behind it, and every rule that is named can be looked up."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from keyctl import rotation
from keyctl.cli.main import cli
from keyctl.cli.rules import RULES, STATES
from tests.support.hints import wrong_commands

_REFUSALS = {"RefusedError", "StoppedError", "UnreadableThereError", "NotServingError", "Blocked"}
# What was asked for, or what the world did: there is no rule behind it.
_NO_RULE = ("paused in state ", "interrupted part-way", "stopped part-way")
SOURCES = sorted(path for folder in rotation.__path__ for path in Path(folder).glob("*.py"))


def refusals(source: str) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _REFUSALS:
            yield node


def rule_of(call: ast.Call) -> ast.expr | None:
    named = next((word.value for word in call.keywords if word.arg == "rule"), None)
    blocked = isinstance(call.func, ast.Name) and call.func.id == "Blocked"
    return call.args[0] if blocked and call.args else named


def message_of(call: ast.Call) -> str:
    return ast.unparse(call.args[0]).lstrip("f'\"") if call.args else ""


def without_rule(source: str) -> list[str]:
    """The messages of refusals that name none."""
    found = [message_of(call) for call in refusals(source) if rule_of(call) is None]
    return [message for message in found if not message.startswith(_NO_RULE)]


def test_no_refusal_is_without_its_rule() -> None:
    assert {path.name: bare for path in SOURCES if (bare := without_rule(path.read_text()))} == {}
    assert without_rule("raise RefusedError(f'no {x}', hint='do it')") == ["no {x}'"]


def test_every_rule_that_a_refusal_names_is_explained() -> None:
    rules = [rule_of(call) for path in SOURCES for call in refusals(path.read_text())]
    named = {rule.value for rule in rules if isinstance(rule, ast.Constant)}
    assert named <= {*RULES, *STATES}
    assert {"R1", "R11", "preflight"} <= named


@pytest.mark.parametrize("state", STATES)
def test_a_state_is_explained_as_a_rule_is(state: str) -> None:
    shown = CliRunner().invoke(cli, ["explain", state])
    assert shown.stdout == f"{state}: {STATES[state]}\n"
    assert wrong_commands(STATES[state]) == []
