"""How bash, zsh and fish ask for completions: their scripts, and the words of the line that is being typed.

click has all of this but two things: `--option=value`, which bash takes apart at the sign and zsh and fish do not,
and values that something has to follow, such as the PATH of FORMAT=PATH.
"""

from __future__ import annotations

import os

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)

from keyctl.cli.completed import OPEN

# bash replaces what stands behind its last word break, and = is one.
_BASH = """\
%(complete_func)s() {
    local type value
    COMPREPLY=()
    while IFS=, read -r type value; do
        case "$type" in
            plain) COMPREPLY+=("$value") ;;
            open) COMPREPLY+=("$value"); compopt -o nospace ;;
            file) compopt -o default ;;
            dir) compopt -o dirnames ;;
        esac
    done < <(COMP_LINE="${COMP_LINE:0:COMP_POINT}" %(complete_var)s=bash_complete "$1" 2>/dev/null)
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""
_ZSH = """\
#compdef %(prog_name)s

%(complete_func)s() {
    local type key description
    local -a plain described open response
    (( ! $+commands[%(prog_name)s] )) && return 1

    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) \
%(complete_var)s=zsh_complete %(prog_name)s 2>/dev/null)}")

    for type key description in ${response}; do
        case $type in
            plain) if [[ $description == _ ]]; then plain+=("$key"); else described+=("$key:$description"); fi ;;
            open) open+=("$key") ;;
            file) compset -P '*='; _path_files -f ;;
            dir) compset -P '*='; _path_files -/ ;;
        esac
    done

    (( $#described )) && _describe -V unsorted described -U
    (( $#open )) && compadd -U -V unsorted -S '' -a open
    (( $#plain )) && compadd -U -V unsorted -a plain
    return 0
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""


class Bash(BashComplete):
    """bash 4.4 or newer."""

    source_template = _BASH

    @staticmethod
    def _check_version() -> None:
        """The script may be for another machine: nothing is run to make it."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one that is typed, and this one, from the line up to the cursor."""
        line = os.environ.get("COMP_LINE", "")
        words = split_arg_string(line)[1:]
        if not words or line[-1:].isspace():
            return words, ""
        return words[:-1], words[-1]


class _WholeWords:
    """For shells in which `--option=value` is one word: so are the completions."""

    def with_option(self, found: list[CompletionItem[str]], incomplete: str) -> list[CompletionItem[str]]:
        """`found`, with what stands before the value in `incomplete`."""
        option, equals, _ = incomplete.partition("=")
        if not equals or not option.startswith("-"):
            return found
        return [
            item
            if item.type in ("file", "dir")
            else CompletionItem(f"{option}={item.value}", type=item.type, help=item.help)
            for item in found
        ]


class Zsh(_WholeWords, ZshComplete):
    """zsh 5."""

    source_template = _ZSH

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        """As click finds them."""
        return self.with_option(super().get_completions(args, incomplete), incomplete)


class Fish(_WholeWords, FishComplete):
    """fish 3: it puts no space behind a value that ends in = by itself."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        """As click finds them."""
        return self.with_option(super().get_completions(args, incomplete), incomplete)

    def format_completion(self, item: CompletionItem[str]) -> str:
        """One line; its script knows no `OPEN`."""
        return super().format_completion(
            CompletionItem(item.value, help=item.help) if item.type == OPEN else item  # the default type is plain
        )


def register() -> None:
    """Have click answer these three shells in this way."""
    for kind in (Bash, Zsh, Fish):
        add_completion_class(kind)
