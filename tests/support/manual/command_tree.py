"""Every command of keyctl as its own help tells it, ready to be set as a page. Sets nothing itself."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass

import click

from keyctl.cli.main import cli

# How click marks a paragraph that is not to be filled.
_AS_IT_STANDS = "\b"
# Wider than any line of help: usage lines are not to be broken here.
_WIDE = 4000


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph of a help text; one that stands `as_is` keeps its lines."""

    text: str
    as_is: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """One command. `name` is what is typed after the program, "" for the program itself.

    `options` and `commands` are pairs of what stands in the help's two columns,
    `variables` pairs of an environment variable and the option that it stands for.
    """

    name: str
    summary: str
    usage: str
    paragraphs: tuple[Paragraph, ...]
    examples: tuple[str, ...]
    options: tuple[tuple[str, str], ...]
    variables: tuple[tuple[str, str], ...]
    commands: tuple[tuple[str, str], ...]


def entries() -> tuple[Entry, ...]:
    """The program itself, then every command, each group before its own."""
    return tuple(_walk(cli, _context(cli, None, "keyctl"), ""))


def _walk(command: click.Command, context: click.Context, name: str) -> Iterator[Entry]:
    found = _named(command, context) if isinstance(command, click.Group) else ()
    yield _entry(command, context, name, tuple((name, line) for name, line, _ in found))
    for own, _, child in found:
        yield from _walk(child, _context(child, context, own), f"{name} {own}".strip())


def _context(command: click.Command, parent: click.Context | None, name: str) -> click.Context:
    settings = {**command.context_settings, "max_content_width": _WIDE, "terminal_width": _WIDE}
    return click.Context(command, parent, name, **settings)


def _named(group: click.Group, context: click.Context) -> tuple[tuple[str, str, click.Command], ...]:
    shown = _list_of(group, context)
    found = ((name, group.get_command(context, name)) for name in group.list_commands(context))
    return tuple((name, shown[name], command) for name, command in found if command is not None and not command.hidden)


def _list_of(group: click.Group, context: click.Context) -> dict[str, str]:
    """The commands of `group`, each with its line, exactly as its help lists them."""
    formatter = context.make_formatter()
    group.format_commands(context, formatter)
    lines = [line.strip() for line in formatter.getvalue().splitlines() if line.startswith("  ")]
    return {name: text.strip() for name, _, text in (line.partition(" ") for line in lines)}


def _entry(command: click.Command, context: click.Context, name: str, commands: tuple[tuple[str, str], ...]) -> Entry:
    paragraphs, examples = _split(inspect.cleandoc(command.help or ""))
    records = (parameter.get_help_record(context) for parameter in command.get_params(context))
    return Entry(
        name=name,
        summary=_first_sentence(paragraphs[0].text),
        usage=" ".join(command.collect_usage_pieces(context)),
        paragraphs=(*paragraphs, *((Paragraph(command.epilog, as_is=False),) if command.epilog else ())),
        examples=examples,
        options=tuple((names, " ".join(text.split())) for names, text in filter(None, records)),
        variables=tuple(_variables(command)),
        commands=commands,
    )


def _split(text: str) -> tuple[tuple[Paragraph, ...], tuple[str, ...]]:
    """The paragraphs of a help text, and the lines of its examples."""
    paragraphs: list[Paragraph] = []
    examples: tuple[str, ...] = ()
    for block in text.strip().split("\n\n"):
        first, *rest = block.splitlines()
        if first != _AS_IT_STANDS:
            paragraphs.append(Paragraph(" ".join((first, *rest)), as_is=False))
        elif rest[0].startswith("Example"):
            one = rest[0].partition(":")[2]
            examples = (*filter(None, [one.strip()]), *(line.strip() for line in rest[1:]))
        else:
            paragraphs.append(Paragraph("\n".join(rest), as_is=True))
    return tuple(paragraphs), examples


def _first_sentence(text: str) -> str:
    ends = (text.find(mark) for mark in (". ", ": "))
    end = min((end for end in ends if end > 0), default=len(text))
    return text[:end].rstrip(".:")


def _variables(command: click.Command) -> Iterator[tuple[str, str]]:
    for parameter in command.params:
        if isinstance(parameter.envvar, str):
            yield parameter.envvar, parameter.opts[-1]
