"""docs/reference/commands.md: every command with its help, options, variables and examples, in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.support.manual.command_tree import Entry, Paragraph, entries

_HEAD = """# Commands

Every command as its own `--help` tells it. Generated: `make generate`. The same as man pages, once keyctl is installed:
`man kube-keyctl`, `man kube-keyctl-verify-secrets`. What each command answers with: [exit codes](../exit-codes.md);
what `-o json` prints: [schemas](schemas/README.md).
"""
# What Markdown takes for its own in running text.
_SPECIAL = re.compile(r"([\\*_<>\[\]|])")
_CODE = re.compile(r"(`[^`]*`)")


def page() -> str:
    """The page as it must be."""
    known = entries()
    return "\n".join((_HEAD, *_contents(known), *(line for entry in known for line in _section(entry))))


def _contents(known: tuple[Entry, ...]) -> Iterator[str]:
    yield "| command | what it does |"
    yield "|---|---|"
    for entry in known:
        if entry.name:
            yield f"| [`{entry.name}`](#{_anchor(entry)}) | {_plain(entry.summary)} |"
    yield ""


def _section(entry: Entry) -> Iterator[str]:
    yield f"## {_title(entry)}"
    yield ""
    yield from _block(f"{_title(entry)} {entry.usage}".rstrip(), "")
    for paragraph in entry.paragraphs:
        yield from _paragraph(paragraph)
    if entry.commands:
        yield from _table("command", entry.commands)
    if entry.options:
        yield from _table("option", entry.options)
    if entry.variables:
        yield from _table("variable", tuple((name, f"stands for {option}") for name, option in entry.variables))
    if entry.examples:
        yield "Examples:"
        yield ""
        yield from _block("\n".join(entry.examples), "sh")


def _paragraph(paragraph: Paragraph) -> Iterator[str]:
    if paragraph.as_is:
        yield from _block(paragraph.text, "")
    else:
        yield _plain(paragraph.text)
        yield ""


def _block(text: str, language: str) -> Iterator[str]:
    yield f"```{language}"
    yield text
    yield "```"
    yield ""


def _table(first: str, pairs: tuple[tuple[str, str], ...]) -> Iterator[str]:
    yield f"| {first} | |"
    yield "|---|---|"
    for name, text in pairs:
        # A bar would end the cell, in code too.
        cell = name.replace("|", "\\|")
        yield f"| `{cell}` | {_plain(text)} |"
    yield ""


def _plain(text: str) -> str:
    return "".join(
        part.replace("|", "\\|") if _CODE.fullmatch(part) else _SPECIAL.sub(r"\\\1", part) for part in _CODE.split(text)
    )


def _title(entry: Entry) -> str:
    return f"keyctl {entry.name}".rstrip()


def _anchor(entry: Entry) -> str:
    return _title(entry).replace(" ", "-")
