"""What a shell may offer for an option or an argument whose type does not say it. Opens and connects to nothing."""

from __future__ import annotations

from collections.abc import Iterable

import click
from click.shell_completion import CompletionItem

from keyctl.encryption_config.server import NEWEST, OLDEST

# Kinds of items, beside click's "plain", "file" and "dir": a value that something else has to follow at once.
OPEN = "open"
_OUTPUTS = ("text", "wide", "json")


def outputs(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Formats for stdout."""
    return _matching(_OUTPUTS, incomplete)


def reports(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """FORMAT=PATH: the formats, then files."""
    _, equals, path = incomplete.partition("=")
    if equals:
        return [CompletionItem(path, type="file")]
    from keyctl.reports.formats import FORMATS

    return _matching((f"{name}=" for name in FORMATS), incomplete, kind=OPEN)


def files(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Files, for an argument that may also be - for stdin."""
    return [CompletionItem(incomplete, type="file")]


def versions(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Minor versions of Kubernetes."""
    return _matching((f"1.{minor}" for minor in range(OLDEST, NEWEST + 1)), incomplete)


def profiles(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Profiles of the audit."""
    from keyctl.audit.profiles.catalogue import PROFILES

    return _matching(PROFILES, incomplete)


def topics(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """What `keyctl explain` explains."""
    from keyctl.cli.catalogue import CATALOGUE
    from keyctl.cli.rules import RULES, STATES
    from keyctl.errors import ExitCode

    codes = (str(code.value) for code in ExitCode)
    known = (*RULES, *STATES, *(rule.id for rule in CATALOGUE), *codes, "findings", "exit-codes")
    return _matching(known, incomplete)


def _matching(values: Iterable[str], incomplete: str, kind: str = "plain") -> list[CompletionItem[str]]:
    wanted = incomplete.lower()
    return [CompletionItem(value, type=kind) for value in values if value.lower().startswith(wanted)]
