"""What `enable`, `rotate` and `disable` have in common: options, confirmation, stopping, and the last words."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TypeVar

import click

from keyctl.cli import files, terminal, wiring
from keyctl.cli.engine_options import engine_options
from keyctl.cli.last_words import last_words
from keyctl.cli.progress import JsonLines, LiveTable, PlainLines
from keyctl.cli.resources import checked
from keyctl.cli.signals import handled
from keyctl.cli.told import told
from keyctl.cli.window import warn_outside
from keyctl.encryption_config.plugin import Plugin
from keyctl.errors import InterruptedEarlyError, RefusedError, WrongUsageError
from keyctl.keys.key import Provider
from keyctl.rotation import agreed
from keyctl.rotation.plan import Engine, Goal, History, State
from keyctl.rotation.preflight import Wish
from keyctl.rotation.world import Event, Reporter

F = TypeVar("F", bound=Callable[..., object])


@dataclass(frozen=True, slots=True)
class Change:
    """The options that all of them share. `history` None: the policy of the cluster file; `engine` None: the plan's.

    `hold` is called between two acts, and raises once the time to work is over; no option gives it.
    """

    dry_run: bool
    yes: bool
    pause_after: State | None
    history: History | None
    output: str
    quiet: bool
    allow_downtime: bool
    template_updated: bool
    plan_file: Path | None = None
    apply: Path | None = None
    engine: Engine | None = None
    rehearsed: bool = False
    second_pass: bool = False
    hold: Callable[[], None] | None = None

    @classmethod
    def from_options(cls, given: Mapping[str, object]) -> Change:
        """From what click hands over."""
        pause = given["pause_after"]
        return cls(
            dry_run=given["dry_run"] != "none",
            rehearsed=given["dry_run"] == "server",
            yes=bool(given["yes"]),
            pause_after=State(pause) if isinstance(pause, str) else None,
            history=History(history) if isinstance(history := given.get("history"), str) else None,
            output=str(given["output"]),
            quiet=bool(given["quiet"]),
            allow_downtime=bool(given["allow_downtime"]),
            template_updated=bool(given["template_updated"]),
            plan_file=path if isinstance(path := given.get("plan_file"), Path) else None,
            apply=path if isinstance(path := given.get("apply"), Path) else None,
            engine=Engine(engine) if isinstance(engine := given["engine"], str) else None,
            second_pass=bool(given["second_pass"]),
        )

    def wish(self, goal: Goal, provider: str | None, resources: tuple[str, ...], plugin: Plugin | None = None) -> Wish:
        """What the user asks for; what is left out is None. Raises `WrongUsageError` for what names no resource."""
        return Wish(
            goal=goal,
            provider=Provider(provider) if provider else None,
            plugin=plugin,
            resources=tuple(dict.fromkeys(map(checked, resources))) or None,
            allow_downtime=self.allow_downtime,
            template_updated=self.template_updated,
            engine=self.engine or Engine.PATCH,
            second_pass=self.second_pass,
        )


def change_options(command: F) -> F:
    """The options of `Change`."""
    for option in reversed(
        (
            click.option(
                "--dry-run",
                is_flag=False,
                flag_value="client",
                default="none",
                type=click.Choice(["client", "server", "none"]),
                help="Make every check, print the plan, change nothing. server: send every patch as a dry run, too.",
            ),
            click.option(
                "--plan-file",
                type=click.Path(path_type=Path, dir_okay=False),
                metavar="FILE",
                help="With --dry-run: write the plan to this new file, for --apply.",
            ),
            click.option(
                "--apply",
                type=click.Path(path_type=Path, dir_okay=False),
                metavar="FILE",
                help="Carry out the plan in this file, if all that it was made from is still so.",
            ),
            click.option("-y", "--yes", is_flag=True, help="Do not ask. Needed off a terminal."),
            click.option("--allow-downtime", is_flag=True, help="A single API server may be restarted (R9)."),
            click.option(
                "--template-updated",
                is_flag=True,
                help="The template that the distribution renders the file from is updated too (R12).",
            ),
            click.option(
                "-o", "--output", type=click.Choice(["text", "json"]), default="text", help="json: one event a line."
            ),
            click.option("-q", "--quiet", is_flag=True, help="No progress; the result and errors still show."),
        )
    ):
        command = option(command)
    return engine_options(command)


def pause_option(last: State) -> Callable[[F], F]:
    """`--pause-after` with the states of the way forward up to `last`."""
    said = "Stop once this state is reached (exit 6)."
    if last.position >= State.RETIRING.position:
        said += " In retiring the last proof is still to come."
    states = [state.value for state in State if state.position <= last.position]
    return click.option("--pause-after", type=click.Choice(states), help=said)


history_option = click.option(
    "--history",
    type=click.Choice([mode.value for mode in History]),
    help="Revisions that show values under the old key: compact them, wait until the API server has, or leave them. "
    "Default: policy.history of the cluster file, or compact.",
)


def start(cluster: Path | None, change: Change, wish: Wish) -> None:
    """Begin a rotation for `wish`, or print its plan."""
    if change.plan_file is not None and not change.dry_run:
        raise WrongUsageError("--plan-file is written by --dry-run", hint="add --dry-run; to carry a plan out: --apply")
    if change.apply is not None:
        _apply(cluster, change, wish)
        return
    with told(change.output), wiring.rotation(cluster) as parts:
        if wish.goal is Goal.ENABLE:
            wish = replace(
                wish,
                provider=wish.provider or parts.policy_provider,
                resources=wish.resources or parts.policy_resources,
            )
        wish = replace(wish, history=change.history or parts.policy_history)
        if not change.quiet:
            warn_outside(parts.policy_window, parts.world.clock)
        if change.dry_run and change.pause_after is not None:
            raise WrongUsageError("--dry-run reaches no state to pause after", hint="leave --pause-after out")
        if change.dry_run:
            with _watching(change) as (reporter, stop):
                plan = parts.session(reporter, pause=stop.pause).agree(wish, rehearsed=change.rehearsed)
                if change.plan_file is not None:
                    files.write_new(change.plan_file, plan.to_text().encode())
                _show_plan(plan.lines, change)
            return
        with _watching(change) as (reporter, stop):
            session = parts.session(reporter, pause=stop.pause, pause_after=change.pause_after)
            finished = session.start(wish, confirm=lambda lines: _confirm(lines, change, reporter, stop))
        last_words(finished, output=change.output, quiet=change.quiet)


def _apply(cluster: Path | None, change: Change, wish: Wish) -> None:
    """Carry out the plan in the file `change.apply`; `wish` is what the command itself was asked for."""
    path = change.apply
    if path is None:
        raise RuntimeError("no plan to apply")
    if change.dry_run or change.history or change.engine or wish != Wish(wish.goal):
        raise WrongUsageError(
            "--apply carries out what the plan says",
            hint="of the other flags it takes --cluster, --pause-after, -o, -q and --yes",
        )
    plan = agreed.read(files.read_file(path, "a plan"), name=files.name_of(path))
    if plan.wish.goal is not wish.goal:
        raise WrongUsageError(
            f"{files.name_of(path)} is a plan to {plan.wish.goal.value}",
            hint=f"keyctl {plan.wish.goal.command} --apply PLAN",
        )
    with told(change.output), wiring.rotation(cluster) as parts:
        if not change.quiet:
            warn_outside(parts.policy_window, parts.world.clock)
        with _watching(change) as (reporter, stop):
            session = parts.session(reporter, pause=stop.pause, pause_after=change.pause_after)
            finished = session.start(
                plan.wish, confirm=lambda lines: _confirm(lines, change, reporter, stop), plan=plan
            )
        last_words(finished, output=change.output, quiet=change.quiet)


def resume(cluster: Path | None, change: Change) -> None:
    """Go on with what was begun, on the way it was on."""
    with told(change.output), wiring.rotation(cluster) as parts:
        with _watching(change) as (reporter, stop):
            stop.working = True
            _agreed(reporter)
            session = parts.session(reporter, pause=stop.pause, pause_after=change.pause_after)
            finished = session.resume(history=change.history, engine=change.engine)
        last_words(finished, output=change.output, quiet=change.quiet)


def abort(cluster: Path | None, change: Change) -> None:
    """Turn what was begun around, and bring everything back to how it was; asks also when it goes back already."""
    with told(change.output), wiring.rotation(cluster) as parts:
        with _watching(change) as (reporter, stop):
            session = parts.session(reporter, pause=stop.pause)
            lines = session.outline_back()
            if change.dry_run:
                _show_plan(lines, change)
                return
            if not _confirm(lines, change, reporter, stop):
                raise InterruptedEarlyError("not confirmed; the rotation is where it was")
            finished = session.abort(confirm=lambda _: True, engine=change.engine)
        last_words(finished, output=change.output, quiet=change.quiet)


class _Silent:
    """Shows nothing."""

    def event(self, event: Event) -> None:
        """See `Reporter.event`."""

    def close(self) -> None:
        """Nothing to put back."""


class _Later:
    """The reporter on a terminal: lines until the user has agreed to the plan, the live table after."""

    def __init__(self) -> None:
        self._now: PlainLines | LiveTable = PlainLines()

    def event(self, event: Event) -> None:
        """See `Reporter.event`."""
        self._now.event(event)

    def agreed(self) -> None:
        """Change over to the live table."""
        self._now = LiveTable(color=terminal.screen(sys.stderr).color)

    def close(self) -> None:
        """Leave the last picture on the screen."""
        self._now.close()


Watcher = JsonLines | PlainLines | _Later | _Silent


class Stop:
    """Ctrl-C, SIGTERM and a hang-up: before `working` they end the command at once, after that between two acts.

    `hold` is another reason to stop there: it raises when it has come.
    """

    def __init__(self, watcher: Reporter, hold: Callable[[], None] | None = None) -> None:
        self._watcher = watcher
        self._hold = hold
        self._asked = False
        self.working = False

    def ask(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 — signal's signature
        """The signal handler."""
        if self._asked or not self.working:
            raise KeyboardInterrupt
        self._asked = True
        self._watcher.event(Event("step", "stopping after the act under way; once more to stop now"))

    def pause(self) -> None:
        """Raise `KeyboardInterrupt` if the user has asked, or what `hold` raises."""
        if self._asked:
            raise KeyboardInterrupt
        if self._hold is not None:
            self._hold()


@contextlib.contextmanager
def _watching(change: Change) -> Iterator[tuple[Watcher, Stop]]:
    watcher = _watcher(change)
    stop = Stop(watcher, change.hold)
    with handled(stop.ask):
        try:
            yield watcher, stop
        finally:
            watcher.close()


def _watcher(change: Change) -> Watcher:
    if change.quiet:
        return _Silent()
    if change.output == "json":
        return JsonLines()
    return _Later() if terminal.redraws(sys.stderr) else PlainLines()


def _show_plan(lines: tuple[str, ...], change: Change) -> None:
    saved = None if change.plan_file is None else str(change.plan_file)
    if change.output == "json":
        JsonLines().event(Event("plan", "nothing was changed", {"lines": list(lines), "planFile": saved}))
        return
    click.echo("\n".join((*lines, "Nothing was changed.")))
    if saved is not None:
        click.echo(f"plan saved: {saved}; it can be applied while all that it was made from is still so", err=True)


def _confirm(lines: tuple[str, ...], change: Change, reporter: Reporter, stop: Stop) -> bool:
    if change.output == "text" and not (change.quiet and change.yes):
        click.echo("\n".join(lines), err=True)
    if not change.yes:
        if not sys.stdin.isatty() or change.output == "json":
            raise RefusedError("this changes the cluster and nobody is there to ask", hint="say --yes, or --dry-run")
        try:
            if not click.confirm("Go on?", err=True):
                return False
        except click.Abort as exc:
            raise InterruptedEarlyError("interrupted; nothing was changed") from exc
    stop.working = True
    _agreed(reporter)
    return True


def _agreed(reporter: Reporter) -> None:
    if isinstance(reporter, _Later):
        reporter.agreed()
