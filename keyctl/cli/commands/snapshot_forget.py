"""`keyctl snapshot forget`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyctl.cli import wiring
from keyctl.cli.options import cluster_option
from keyctl.errors import InterruptedEarlyError, RefusedError

if TYPE_CHECKING:
    from keyctl.backup.register import Forgetting


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@cluster_option
@click.option("-y", "--yes", is_flag=True, help="Do not ask. Needed off a terminal.")
def forget(files: tuple[Path, ...], cluster: Path | None, yes: bool) -> None:
    """Take snapshots that are gone, with every copy of them, out of the key store's register.

    A registered snapshot holds back the destruction of the keys that it needs, also
    when its file is gone, for there may be copies. FILE is where it was, as keyctl keys
    list -o json has it; FILE@gone stands for all those that had the name of a newer one.
    Refused while FILE is still there. Says which keys nothing registered needs then.

    \b
    Examples:
      keyctl snapshot forget /backup/prod-1.db
      keyctl snapshot forget /backup/prod-Mon.db@gone --yes
    """  # noqa: D301 — click reads the \b
    from keyctl.backup.register import forgetting

    store = wiring.key_store(wiring.require_cluster(cluster))
    plan = forgetting(store, files)
    if not yes:
        _ask(plan)
    for backup in plan.forgotten:
        store.forget_backup(backup.location)
        click.echo(f"forgotten: {backup.location}")
    for line in _outcome(plan):
        click.echo(line)


def _ask(plan: Forgetting) -> None:
    if not sys.stdin.isatty():
        raise RefusedError("this lets keys be destroyed and nobody is there to ask", hint="say --yes")
    for backup in plan.forgotten:
        click.echo(f"{backup.location}, noted at {backup.at}, will be forgotten.", err=True)
    for line in _outcome(plan):
        click.echo(line, err=True)
    try:
        agreed = click.confirm("Is every copy gone, or may it become unreadable?", err=True)
    except click.Abort as exc:
        raise InterruptedEarlyError("interrupted; nothing was changed") from exc
    if not agreed:
        raise InterruptedEarlyError("not confirmed; nothing was changed")


def _outcome(plan: Forgetting) -> tuple[str, ...]:
    """What it means for the keys."""
    from keyctl.rotation.obstacles import argument
    from keyctl.stored.display import display

    freed = ", ".join(display(argument(ref)) for ref in plan.freed) or "none"
    held = ", ".join(display(argument(ref)) for ref in plan.held) or "none"
    return f"keys held back by no registered backup any more: {freed}", f"keys still held back by others: {held}"
