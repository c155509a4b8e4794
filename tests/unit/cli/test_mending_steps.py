"""What `keyctl config validate` says of mending: what `fix` would do, and nothing where it would do nothing."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from click.testing import CliRunner

from keyctl.cli.main import cli
from tests.support.hints import wrong_commands, wrong_hints
from tests.unit.encryption_config.repair.test_repairs import BODY, HEAD, KEY, LEGACY, SECRET

GOOD = HEAD + BODY
MISINDENTED = GOOD.replace("          secret:", "        secret:")


@pytest.fixture(autouse=True)
def directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def validated(content: str | bytes, name: str = "my enc.yaml") -> str:
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return CliRunner().invoke(cli, ["config", "validate", name]).stdout


def next_steps(shown: str) -> list[str]:
    return [line.removeprefix("next: ") for line in shown.splitlines() if line.startswith("next: ")]


@pytest.mark.parametrize(
    ("content", "steps"),
    [
        pytest.param(GOOD, [], id="right"),
        pytest.param(LEGACY + BODY, ["keyctl config migrate 'my enc.yaml'"], id="the legacy kind"),
        pytest.param(
            MISINDENTED,
            ["keyctl config fix 'my enc.yaml'  # line 10: secret moved in by 2 columns"],
            id="a layout with one meaning",
        ),
        pytest.param(
            MISINDENTED.replace("{}", "").replace("key1", "1"),
            [
                "keyctl config fix 'my enc.yaml'  # line 9: the name is in quotes now: without them it is a number, "
                "and no text; and 2 more"
            ],
            id="several mistakes",
        ),
        pytest.param(GOOD.replace("- secrets", "- Secrets"), [], id="what nobody can mend"),
        pytest.param(GOOD.replace(SECRET, "<SECRET>"), [], id="a key that nobody knows"),
        pytest.param("", [], id="an empty file"),
        pytest.param(b"\x7fELF\x02\x01\x01", [], id="a binary"),
        pytest.param(GOOD.encode("utf-16"), [], id="a form that is not read"),
    ],
)
def test_the_next_step_is_what_fix_would_do(content: str | bytes, steps: list[str]) -> None:
    shown = validated(content)
    assert next_steps(shown) == steps
    assert wrong_hints([shown]) == []


def test_on_stdin_no_command_for_a_file_is_named() -> None:
    for text in (MISINDENTED, LEGACY + BODY, GOOD.replace(SECRET, "<SECRET>")):
        shown = CliRunner().invoke(cli, ["config", "validate", "-"], input=text).stdout
        assert next_steps(shown) == []
        assert "<stdin> --" not in shown
        assert wrong_commands(shown) == []


@pytest.mark.parametrize(
    ("secret", "cause"),
    [
        ("<BASE 64 ENCODED SECRET>", "a placeholder of 24 characters: nobody fills it in"),
        (base64.b64encode(SECRET.encode()).decode(), "themselves the base64 of 32 bytes: encoded twice"),
        ("aB-._~!*#;,9876aB-._~!*#;,987654", "32 characters that are no base64: not encoded"),
        (KEY.hex(), "64 hexadecimal digits, which are 32 bytes"),
    ],
    # Else the key would be in the name of the test, and so in every report of it.
    ids=["placeholder", "encoded twice", "not encoded", "hex"],
)
def test_the_exact_cause_of_a_refused_secret_and_the_way_out_are_told(secret: str, cause: str) -> None:
    shown = validated(GOOD.replace(SECRET, secret))
    assert cause in shown
    assert "keyctl config fix 'my enc.yaml' --supply key1=KEYFILE" in shown
    assert secret not in shown


def test_the_way_out_is_exact_also_where_fix_mends_something_else_first() -> None:
    shown = validated(LEGACY + BODY.replace(SECRET, "<SECRET>"))
    assert "keyctl config fix 'my enc.yaml' --supply key1=KEYFILE" in shown
    assert len(next_steps(shown)) == 1
