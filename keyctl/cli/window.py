"""The maintenance window of the cluster file on the command line: its zone, its end, and a warning by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

import click

from keyctl.cluster_file.settings import WindowSettings
from keyctl.errors import UnusableInputError
from keyctl.rotation.closing import WindowClosedError
from keyctl.rotation.window import DAYS, Window
from keyctl.rotation.world import Clock


def window_of(settings: WindowSettings) -> Window:
    """The window that `settings` describe. Raises `UnusableInputError` for a zone that this machine does not know."""
    days = frozenset(DAYS.index(day) for day in settings.days)
    return Window(days, settings.opens, settings.closes, _zone(settings.timezone), settings.timezone)


def closing(window: Window, until: datetime, clock: Clock) -> Callable[[], None]:
    """A `pause` for a session: raises `WindowClosedError` from `until` on, when `window` closes."""

    def pause() -> None:
        if clock.now() >= until:
            again = window.local(window.next_opening(until))
            raise WindowClosedError(
                f"the maintenance window closed at {window.local(until)}",
                hint=f"it opens again {again}; then this goes on by: keyctl rotate --if-due",
            )

    return pause


def warn_outside(settings: WindowSettings | None, clock: Clock) -> None:
    """Say on stderr that the window is shut: a change by hand does not wait for it."""
    if settings is None:
        return
    window = window_of(settings)
    if window.open_until(clock.now()) is None:
        click.echo(f"warning: outside the maintenance window ({window}), which binds only --if-due", err=True)


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError) as exc:
        raise _unknown(name) from exc
    except KeyError:
        # NOTE: that is what zoneinfo raises for a name that it has no data of.
        raise _unknown(name) from None


def _unknown(name: str) -> UnusableInputError:
    return UnusableInputError(
        f"policy.window: this machine knows no time zone {name}",
        hint="write a name of the tz database such as Europe/Berlin (its data may have to be installed), or UTC",
    )
