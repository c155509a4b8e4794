"""The command lines of the pages: which there are, what the page shows below them, and where they are run.

In a fenced block `console` a command begins with "$ ", and the lines below it are what it says; in a block `sh` every
line is a command. A comment before the first of them, and wherever it changes, says what becomes of the blocks below:
`<!-- run: SITE -->` (`tests.support.page_sites`) or `<!-- not run: REASON -->`. In a command an ellipsis, or a word in
capitals, stands for what the reader fills in. Nothing is run here.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import click

from keyctl.cli.main import cli

ROOT = Path(__file__).parents[2]
# Pages that are written from the commands themselves, and why what they show is not run from here.
_EXAMPLES_OF_HELP = "the examples of help texts stand in no order; each command has tests of its own"
GENERATED = {
    "docs/reference/commands.md": _EXAMPLES_OF_HELP,
    "docs/findings.md": _EXAMPLES_OF_HELP,
}
FOLDERS = ("docs", "examples")
PROGRAMS = ("keyctl", "kube-keyctl", "kubectl-keyctl")
_LANGUAGES = ("sh", "console")
_FENCE = re.compile(r" *```(.*)")
_MARKER = re.compile(r" *<!-- (run|not run): (.+) -->")
_CALL = re.compile(rf" *(?:\$ )?(?:sudo )?(?:{'|'.join(PROGRAMS)})(?: |$)")
_SUBSTITUTED = re.compile(r"\$\(([^()]*)\)")
_ENDS = re.compile(r"[;|&()]+")
_GLOBAL = re.compile(r"-v+|--verbose")


@dataclass(frozen=True, slots=True)
class Step:
    """One command as a reader would type it, at a line of its page, and what the page shows that it says."""

    line: int
    command: str
    shown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a page. `site` says where it is run; without one, `reason` says why not. Both empty: nobody said."""

    page: str
    line: int
    language: str
    lines: tuple[str, ...]
    site: str
    reason: str

    @property
    def steps(self) -> tuple[Step, ...]:
        """The commands in it, in order; none where it shows something else."""
        return tuple(_steps(self)) if self.language in _LANGUAGES else ()

    @property
    def misplaced(self) -> list[str]:
        """Lines that call keyctl, in a block that is not said to hold commands."""
        lines = () if self.language in _LANGUAGES else self.lines
        return [line for line in lines if _CALL.match(line) and "[OPTIONS]" not in line]


def pages() -> tuple[str, ...]:
    """Every page, by its path in the repository."""
    found = [*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))]
    return tuple(sorted(path.relative_to(ROOT).as_posix() for path in found if path.name != "CHANGELOG.md"))


def blocks(page: str, text: str | None = None) -> tuple[Block, ...]:
    """The fenced blocks of a page, and what stands indented by four outside of lists, in order."""
    return tuple(_blocks(page, (ROOT / page).read_text() if text is None else text))


def _blocks(page: str, text: str) -> Iterator[Block]:
    site, reason, language = "", GENERATED.get(page, ""), ""
    begun = 0
    held: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        fence = _FENCE.fullmatch(line)
        if fence and not begun:
            begun, language, held = number, fence[1].strip(), []
        elif fence:
            yield Block(page, begun, language, _flush(held), site, reason)
            begun = 0
        elif begun:
            held.append(line)
        elif marker := _MARKER.fullmatch(line):
            site, reason = (marker[2], "") if marker[1] == "run" else ("", marker[2])
        elif line.startswith("    ") and _CALL.match(line):
            yield Block(page, number, "indented", (line,), site, reason)
    if begun:
        raise ValueError(f"{page}:{begun}: the block has no end")


def _flush(lines: list[str]) -> tuple[str, ...]:
    """The lines without the indentation that all of them have, as in a block within a list."""
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return tuple(line[indent:] for line in lines)


def _steps(block: Block) -> Iterator[Step]:
    line, command, shown = 0, "", list[str]()
    for number, text in enumerate(block.lines, start=block.line + 1):
        if command.endswith("\\"):
            command = f"{command}\n{text}"
            continue
        prompt = block.language == "sh" or text.startswith("$ ")
        if not prompt:
            if not command:
                raise ValueError(f"{block.page}:{number}: output, and no command above it")
            shown.append(text)
            continue
        if command:
            yield Step(line, command, tuple(shown))
        line, command, shown = number, text.removeprefix("$ "), []
    if command:
        yield Step(line, command, tuple(shown))


def invocations(command: str) -> list[list[str]]:
    """The arguments of each keyctl that a command line calls, those in `$(…)` too."""
    line = command.replace("\\\n", " ")
    calls = [call for inner in _SUBSTITUTED.findall(line) for call in invocations(inner)]
    lexer = shlex.shlex(_SUBSTITUTED.sub("SUBSTITUTED", line), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if not _ENDS.fullmatch(word):
            words.append(word)
            continue
        if (arguments := _arguments(words)) is not None:
            calls.append(arguments)
        words = []
    return calls


def _arguments(words: list[str]) -> list[str] | None:
    """What a simple command gives to keyctl; None where it calls something else."""
    rest = list(words)
    while rest and (rest[0] == "sudo" or re.match(r"\w+=", rest[0])):
        rest.pop(0)
    if rest[:2] == ["kubectl", "keyctl"]:
        rest = ["keyctl", *rest[2:]]
    if not rest or Path(rest[0]).name not in PROGRAMS:
        return None
    kept: list[str] = []
    for word in rest[1:]:
        if set(word) <= set("<>"):
            break
        kept.append(word)
    return kept


def mention_error(words: list[str]) -> str:
    """The same of a command that a sentence names, which may leave out what it is given."""
    error = usage_error(words)
    left_out = ("Missing ", "a group of commands")
    return "" if error.startswith(left_out) or error.endswith("requires an argument.") else error


def asks(words: list[str]) -> bool:
    """Whether keyctl would ask before it does this, and nothing here answers."""
    command: click.Command = cli
    rest = list(words)
    while isinstance(command, click.Group) and rest:
        found = command.get_command(click.Context(command), rest.pop(0))
        if found is None:
            return False
        command = found
    names = {name for parameter in command.params for name in parameter.opts}
    said = {word.partition("=")[0] for word in rest}
    return "--yes" in names and not said & {"--yes", "-y", "--dry-run", "--verify-evidence", "--if-due"}


def usage_error(words: list[str]) -> str:
    """Why keyctl would not take these arguments, in its own words; empty where it would. Nothing is opened or begun."""
    rest = list(words)
    while rest and _GLOBAL.fullmatch(rest[0]):
        rest.pop(0)
    command: click.Command = cli
    try:
        with unopened_paths():
            while isinstance(command, click.Group):
                if not rest:
                    return "a group of commands, and none of them"
                if rest[0] in {"--help", "-h", "--version"} or rest[0].isupper():
                    return ""
                found = command.get_command(click.Context(command), rest[0])
                if found is None:
                    return f"no command {rest[0]!r}"
                command, rest = found, rest[1:]
            if "--help" not in rest:
                command.make_context("keyctl", rest)
    except click.UsageError as error:
        return error.format_message()
    return ""


@contextmanager
def unopened_paths() -> Iterator[None]:
    """A path of a page is on the reader's machine: it counts as one that is there."""

    def taken(self: click.Path, value: str, *_: object) -> object:
        return self.coerce_path_result(value)

    with mock.patch.object(click.Path, "convert", taken):
        yield
