"""A hint's commands find the cluster that the user named, also where its file has an odd name."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
import pytest

from keyctl.cli.cluster_hints import COMMANDS, naming, with_cluster
from keyctl.cli.main import cli
from keyctl.errors import RefusedError
from tests.support.hints import wrong_commands

FILE = Path("prod.yaml")


@pytest.mark.parametrize("name", COMMANDS)
def test_each_of_them_takes_the_option(name: str) -> None:
    command: click.Command | None = cli
    for word in name.split():
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), word)
    assert command is not None
    assert "--cluster" in {word for parameter in command.params for word in parameter.opts}


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        ("go on with: keyctl rotate --resume", "go on with: keyctl rotate --cluster prod.yaml --resume"),
        (
            "once it is gone: keyctl keys destroy aescbc:a --forget-backup /b.db",
            "once it is gone: keyctl keys destroy --cluster prod.yaml aescbc:a --forget-backup /b.db",
        ),
        ("begin: keyctl rotate; or keyctl status", "begin: keyctl rotate --cluster prod.yaml; or keyctl status "
         "--cluster prod.yaml"),
        ("keyctl rotate --cluster other.yaml --resume", "keyctl rotate --cluster other.yaml --resume"),
        ("keyctl makes keys, and keyctl config new a file", "keyctl makes keys, and keyctl config new a file"),
        ("bring cp1 back", "bring cp1 back"),
    ],
)  # fmt: skip
def test_the_option_comes_right_behind_the_command(hint: str, expected: str) -> None:
    assert with_cluster(hint, FILE) == expected
    assert wrong_commands(expected) == []


def test_an_odd_name_is_quoted() -> None:
    odd = Path("my clusters/a $b.yaml")
    told = with_cluster("then: keyctl rotate --resume", odd)
    assert shlex.split(told.partition("then: ")[2]) == ["keyctl", "rotate", "--cluster", str(odd), "--resume"]


@pytest.mark.parametrize(
    ("given", "expected"), [(FILE, "keyctl rotate --cluster prod.yaml --resume"), (None, "keyctl rotate --resume")]
)
def test_what_is_raised_is_told_so_only_where_the_user_named_a_file(given: Path | None, expected: str) -> None:
    with pytest.raises(RefusedError, match="no") as caught, naming(given):
        raise RefusedError("no", cause="so it is", hint="keyctl rotate --resume", rule="R8")
    assert caught.value.hints == (expected,)
    assert (caught.value.cause, caught.value.rule) == ("so it is", "R8")
