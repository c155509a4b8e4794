"""The keyctl commands that a text names, and whether keyctl's own command line takes them."""

from __future__ import annotations

import re
from collections.abc import Iterable

import click

from keyctl.cli.main import cli

_MENTION = re.compile(r"\bkeyctl( [a-z][^\s;()]*(?: [^\s;()]+)*)")
# Words that follow the name in sentences about keyctl.
_PROSE = re.compile(
    "as|asks|bring|build|by|can|cannot|compacts|do|does|is|keeps|go|make|makes|must|needs|never|reads|rotates|runs|says|sends|shows|speaks|stays|uses|verifies|where|would"
)
# Stands for a word that is filled in later.
PLACEHOLDER = "X"


def wrong_hints(outputs: Iterable[str]) -> list[str]:
    """`wrong_commands` of the lines that tell a user what to do next."""
    lines = (line for output in outputs for line in output.splitlines())
    return [problem for line in lines if line.startswith(("hint: ", "next: ")) for problem in wrong_commands(line)]


def wrong_commands(text: str) -> list[str]:
    """Each mention of a command in `text` that would be a usage error, with what is wrong."""
    problems = []
    for match in _MENTION.finditer(text):
        words = _until_punctuation(match[1].split())
        if not _PROSE.fullmatch(words[0]) and (problem := _problem(words)):
            problems.append(f"keyctl {' '.join(words)}: {problem}")
    return problems


def _until_punctuation(words: list[str]) -> list[str]:
    kept = []
    for word in words:
        bare = word.rstrip(".,:'`\"")
        kept.append(bare)
        if bare != word:
            break
    return kept


def _problem(words: list[str]) -> str:
    command: click.Command = cli
    rest = words
    try:
        while isinstance(command, click.Group):
            if not rest:
                return ""  # a group named as such
            if rest[0] == PLACEHOLDER:
                return ""
            found = command.get_command(click.Context(command), rest[0])
            if found is None:
                return f"no command {rest[0]!r}"
            command, rest = found, rest[1:]
        command.make_context("keyctl", _arguments(command, rest))
    except click.UsageError as error:
        return error.format_message()
    return ""


def _arguments(command: click.Command, words: list[str]) -> list[str]:
    """The leading words that belong to `command`; the sentence may go on behind them."""
    options = {name: option for option in command.params if isinstance(option, click.Option) for name in option.opts}
    places = sum(isinstance(parameter, click.Argument) for parameter in command.params)
    taken: list[str] = []
    rest = list(words)
    while rest:
        option = options.get(rest[0])
        if option is not None and not option.is_flag and not isinstance(option.flag_value, str):
            taken += rest[:2]
            rest = rest[2:]
        elif rest[0].startswith("-"):
            taken.append(rest.pop(0))
        elif places:
            places -= 1
            taken.append(rest.pop(0))
        else:
            break
    return taken
