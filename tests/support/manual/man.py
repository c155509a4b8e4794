r"""Man pages in man(7), one for every command, as they are installed below share/man/man1.

All are called kube-keyctl…: keyctl(1) belongs to the kernel's keyring tool. No date and no version stands in them, so
that they change with the commands alone. What is not ASCII is written \[uXXXX], which groff and mandoc both read.
"""

from __future__ import annotations

from collections.abc import Iterator

from keyctl.errors import ExitCode
from tests.support.manual.command_tree import Entry, Paragraph, entries

PROGRAM = "kube-keyctl"
# As `kubectl keyctl` the same program; a page by that name leads there.
PLUGIN_PAGE = ("kubectl-keyctl.1", f".so man1/{PROGRAM}.1\n")
_SECTION = 1
_VARIABLES = (
    ("NO_COLOR", "Anything but an empty text: no colour. Every state also has a sign and a word."),
    ("FORCE_COLOR, CLICOLOR_FORCE", "Colour also where stdout is no terminal."),
    ("TERM", 'With "dumb": no colour, and progress in lines.'),
)


def pages() -> dict[str, str]:
    """The text of each page by its file name."""
    known = entries()
    return {f"{_page_name(entry)}.{_SECTION}": _page(entry, known) for entry in known} | dict((PLUGIN_PAGE,))


def _page(entry: Entry, known: tuple[Entry, ...]) -> str:
    return "\n".join((*_head(entry), *_body(entry), *_see_also(entry, known), ""))


def _head(entry: Entry) -> Iterator[str]:
    yield r".\" Generated from the command line itself: make generate"
    yield f'.TH "{_page_name(entry).upper()}" {_SECTION} "" "{PROGRAM}" "{PROGRAM}"'
    yield ".SH NAME"
    yield rf"{escaped(_page_name(entry))} \- {escaped(entry.summary)}"
    yield ".SH SYNOPSIS"
    yield rf"\fB{escaped(' '.join((PROGRAM, *entry.name.split())), command=True)}\fR {escaped(entry.usage)}"


def _body(entry: Entry) -> Iterator[str]:
    yield ".SH DESCRIPTION"
    for number, paragraph in enumerate(entry.paragraphs):
        yield from (".PP",) if number else ()
        yield from _paragraph(paragraph)
    if entry.options:
        yield ".SH OPTIONS"
        yield from _pairs(entry.options)
    if entry.commands:
        yield ".SH COMMANDS"
        yield from _pairs(entry.commands)
    variables = [(name, f"Stands for {option} where that is not given.") for name, option in entry.variables]
    variables += _VARIABLES if not entry.name else ()
    if variables:
        yield ".SH ENVIRONMENT"
        yield from _pairs(tuple(variables))
    if not entry.name:
        yield ".SH EXIT STATUS"
        yield from _pairs(tuple((str(code.value), code.meaning) for code in ExitCode))
    if entry.examples:
        yield ".SH EXAMPLES"
        yield from _as_is(entry.examples)


def _see_also(entry: Entry, known: tuple[Entry, ...]) -> Iterator[str]:
    """The program, the group, and what is below; the exit codes stand on the program's own page."""
    parent = entry.name.rpartition(" ")[0]
    near = [one for one in known if one.name != entry.name and (one.name in {"", parent} or _is_below(one, entry))]
    if not near:
        return
    yield ".SH SEE ALSO"
    named = [rf"\fB{escaped(_page_name(one), command=True)}\fR({_SECTION})" for one in near]
    yield ",\n".join(named)
    yield ".PP"
    yield (
        rf"The exit codes stand in \fB{escaped(PROGRAM, command=True)}\fR({_SECTION})."
        if entry.name
        else ("The man page of the kernel's keyring tool is keyctl(1).")
    )


def _is_below(one: Entry, entry: Entry) -> bool:
    return one.name.rpartition(" ")[0] == entry.name


def _page_name(entry: Entry) -> str:
    return "-".join((PROGRAM, *entry.name.split()))


def _paragraph(paragraph: Paragraph) -> Iterator[str]:
    if paragraph.as_is:
        yield from _as_is(tuple(paragraph.text.splitlines()))
    else:
        yield escaped(paragraph.text)


def _as_is(lines: tuple[str, ...]) -> Iterator[str]:
    yield ".RS 4"
    yield ".nf"
    yield from (escaped(line, command=True) for line in lines)
    yield ".fi"
    yield ".RE"


def _pairs(pairs: tuple[tuple[str, str], ...]) -> Iterator[str]:
    for name, text in pairs:
        yield ".TP"
        yield rf"\fB{escaped(name, command=True)}\fR"
        yield escaped(text) or r"\&"


def escaped(text: str, *, command: bool = False) -> str:
    """One line of roff that shows `text` as it is. Of a `command` also each hyphen, for what is copied from there."""
    shown = text.replace("\\", r"\e")
    if command:
        shown = shown.replace("-", r"\-").replace("'", r"\(aq").replace("^", r"\(ha").replace("~", r"\(ti")
    shown = "".join(character if character.isascii() else rf"\[u{ord(character):04X}]" for character in shown)
    return rf"\&{shown}" if shown.startswith((".", "'")) else shown
