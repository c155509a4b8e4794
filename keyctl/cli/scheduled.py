"""`keyctl rotate --if-due`: look whether a key is due and the window open; then rotate, go on, or say why not."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import click

from keyctl.cli import changing, wiring
from keyctl.cli.progress import JsonLines
from keyctl.cli.told import told
from keyctl.cli.window import closing, window_of
from keyctl.rotation.due import Judgement
from keyctl.rotation.preflight import Wish
from keyctl.rotation.schedule import Resting, prospect
from keyctl.rotation.world import Event


def rotate_if_due(cluster: Path | None, change: changing.Change, wish: Wish, *, ignore_window: bool) -> None:
    """Carry `wish` out when a key is due, or go on with what rests; within the window unless that is ignored.

    Raises what `prospect`, `changing.start` and `changing.resume` raise.
    """
    from keyctl.rotation.journal import Journal, LocalLock

    with told(change.output), wiring.rotation(cluster) as parts:
        settings = None if ignore_window else parts.policy_window
        window = None if settings is None else window_of(settings)
        clock, directory = parts.world.clock, parts.state_directory
        found = prospect(
            parts.world,
            Journal(directory),
            LocalLock(directory),
            resources=wish.resources,
            max_age=parts.key_max_age,
        )
        now = clock.now()
    until = None if window is None else window.open_until(now)
    if isinstance(found, Judgement) and not found.due:
        _tell("not-due", found.sentence, found, change)
    elif window is not None and until is None:
        again = window.next_opening(now)
        shut = f"outside the maintenance window ({window}), which opens {window.local(again)}"
        _tell("outside-window", f"{_sentence(found)}; {shut}", found, change, opens=again)
    else:
        if window is not None and until is not None:
            change = replace(change, hold=closing(window, until, clock))
        _go(cluster, change, wish, found)


def _go(cluster: Path | None, change: changing.Change, wish: Wish, found: Resting | Judgement) -> None:
    if isinstance(found, Judgement):
        _tell("due", found.sentence, found, change, err=True)
        changing.start(cluster, change, wish)
        return
    _tell("resting", f"{_sentence(found)}; it goes on now", found, change, err=True)
    if not change.dry_run:
        changing.resume(cluster, change)


def _sentence(found: Resting | Judgement) -> str:
    if isinstance(found, Judgement):
        return found.sentence
    return f"under way: rotation {found.rotation} has rested since its maintenance window closed"


def _tell(
    kind: str,
    sentence: str,
    found: Resting | Judgement,
    change: changing.Change,
    *,
    opens: datetime | None = None,
    err: bool = False,
) -> None:
    if change.output == "json":
        JsonLines().event(Event(kind, sentence, _fields(found, opens)))
    elif not (err and change.quiet):
        click.echo(sentence, err=err)


def _fields(found: Resting | Judgement, opens: datetime | None) -> dict[str, object]:
    window = {} if opens is None else {"opens": _text(opens)}
    if isinstance(found, Resting):
        return {"rotation": found.rotation, "since": found.since, **window}
    return {"key": str(found.key), "since": _text(found.since), "dueAt": _text(found.at), **window}


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")
