"""`kubectl_complete-keyctl`: what kubectl runs to complete `kubectl keyctl …`, in the words of its own completion.

It gets the words behind the plugin's name, the last one being typed, and answers with one offer a line and,
at the end, a number that says what else the shell may do.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from keyctl.cli.completed import OPEN
from keyctl.cli.main import cli
from keyctl.cli.shells import Fish

# Of kubectl's library: no space behind the offer, no files beside the offers, directories only.
_NO_SPACE, _NO_FILES, _DIRECTORIES, _FILES = 2, 4, 16, 0
# Not offers, but what the shell is to look for itself.
_OF_SHELL = ("file", "dir")


def main() -> NoReturn:
    """The console script."""
    click.echo(answer(sys.argv[1:]))
    sys.exit(0)


def answer(words: Sequence[str]) -> str:
    """What kubectl is told for `words`, the last of which is being typed."""
    *before, incomplete = words or [""]
    # kubectl takes `--option=value` for one word, as fish does.
    found = Fish(cli, {}, "kubectl keyctl", "").get_completions(before, incomplete)
    kinds = {item.type for item in found}
    if "file" in kinds:
        directive = _FILES
    elif "dir" in kinds:
        directive = _DIRECTORIES
    else:
        directive = _NO_FILES | (_NO_SPACE if OPEN in kinds else 0)
    offers = [f"{item.value}\t{item.help}" if item.help else item.value for item in found if item.type not in _OF_SHELL]
    return "\n".join((*offers, f":{directive}"))
