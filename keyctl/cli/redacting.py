"""--redact and --redact-salt: a report under pseudonyms, made with a secret of this run or of a file."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from keyctl.errors import UnusableInputError
from keyctl.findings import Report

F = TypeVar("F", bound=Callable[..., object])


def redact_options(command: F) -> F:
    """--redact and --redact-salt, which `salt` takes."""
    for option in (
        click.option(
            "--redact-salt",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Make the pseudonyms with this secret: they stay the same from run to run.",
        ),
        click.option("--redact", is_flag=True, help="Put pseudonyms for names of files, hosts, keys and people."),
    ):
        command = option(command)
    return command


def salt(*, redact: bool, file: Path | None) -> bytes | None:
    """What the pseudonyms are made with: the content of `file`, else chance; None where none are asked for.

    Raises `UnusableInputError` for a file that cannot be read or is too short.
    """
    from keyctl.cli.files import name_of, read_regular
    from keyctl.reports.redaction import SHORTEST_SALT

    if file is None:
        return secrets.token_bytes(32) if redact else None
    content = read_regular(file, "the salt")
    if len(content) < SHORTEST_SALT:
        raise UnusableInputError(
            f"the salt {name_of(file)} has fewer than {SHORTEST_SALT} bytes",
            hint="put 32 random bytes into it, and keep them as a secret",
        )
    return content


def redacted(report: Report, salt: bytes | None) -> Report:
    """`report` under pseudonyms, or as it is without a salt."""
    if salt is None:
        return report
    from keyctl.cli.catalogue import CATALOGUE
    from keyctl.reports.redaction import redact

    return redact(report, salt, CATALOGUE)
