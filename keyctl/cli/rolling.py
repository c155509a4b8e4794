"""A roll-over of CAs as the command line does it: begun, gone on with, gone back from; asked for, and shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyctl.cli import renewing, wiring
from keyctl.errors import RefusedError
from keyctl.pki.authority import Terms
from keyctl.pki.generation import Generation
from keyctl.pki.generations import discard, next_of, prepare
from keyctl.pki.layout import Layout
from keyctl.pki.renewal import mend
from keyctl.renewing.plan import Settle, Step, forward, named
from keyctl.renewing.report import gone_back, lines, plan_report, rolled_over
from keyctl.renewing.rollover import Rollover, UnderWay, require_start, settle, steps_of, under_way

if TYPE_CHECKING:
    from keyctl.cluster_file.settings import ClusterSettings
    from keyctl.findings import Report
    from keyctl.rotation.journal import Journal


class Act:
    """The work on one directory, and what the user wants to see of it and be asked."""

    def __init__(self, settings: ClusterSettings, root: Path, *, yes: bool, output: str, quiet: bool) -> None:
        self._settings, self._root = settings, root
        self._yes, self._output, self._quiet = yes, output, quiet

    def show(self, journal: Journal, *, resume: bool, abort: bool) -> Report:
        """The plan: of a new one, or what is left of the one that is under way."""
        found = under_way(journal)
        if found is None and abort and next_of(self._root).root.is_dir():
            return plan_report(str(self._root), (Settle(Generation.OLD),))
        if found is not None or resume or abort:
            found = self._found(journal)
        if found is None:
            renewing.require_every_member(self._settings, self._root)
            renewing.require_listed(self._settings)
            renewing.require_listed_servers(self._settings)
            steps = self._new()
            with renewing.site(self._settings, self._root, self._present()) as site:
                require_start(site)
            return plan_report(str(self._root), steps)
        return plan_report(str(self._root), self._left(found, back=abort), found.done)

    def begin(self, journal: Journal, lifetime: timedelta, ca_lifetime: timedelta) -> Report:
        """A new one, from its beginning on."""
        if under_way(journal) is not None:
            raise RefusedError("a roll-over is under way", hint="go on with --resume, or go back with --abort")
        # What a renewal that was killed took out of the way is somebody's folder, and nobody may be left out.
        mend(self._root)
        renewing.require_every_member(self._settings, self._root)
        renewing.require_listed(self._settings)
        renewing.require_listed_servers(self._settings)
        others = renewing.others(self._settings, self._root)
        with renewing.site(self._settings, self._root, self._present()) as site:
            require_start(site)
        self._confirm(self._new())
        prepare(self._root, Terms(wiring.SystemClock().now(), lifetime), ca_lifetime=ca_lifetime)
        with renewing.site(self._settings, self._root, self._both()) as site:
            Rollover(site, journal, self._say(), root=str(self._root)).begin(others)
        return rolled_over(str(self._root))

    def resume(self, journal: Journal, *, handed: bool) -> Report:
        """The one that is under way, to its end."""
        found = self._found(journal)
        told = gone_back if found.aborting else rolled_over
        if found.settling is not None:
            self._settle(journal, found, back=False)
            return told(str(self._root))
        steps = enumerate(self._left(found, back=found.aborting))
        self._confirm([step for number, step in steps if named(number, step) not in found.done])
        with renewing.site(self._settings, self._root, self._both()) as site:
            Rollover(site, journal, self._say(), root=str(self._root)).resume(handed=handed)
        return told(str(self._root))

    def abort(self, journal: Journal) -> Report:
        """The one that is under way, back to where it began."""
        found = under_way(journal)
        if found is None and next_of(self._root).root.is_dir():
            # Stopped before it was begun. A journal may be lost: that no host has anything of it is looked at.
            with renewing.site(self._settings, self._root, self._both()) as site:
                require_start(site)
            self._confirm((Settle(Generation.OLD),))
            discard(self._root)
            return gone_back(str(self._root))
        found = self._found(journal)
        if found.settling is not None:
            self._settle(journal, found, back=True)
            return gone_back(str(self._root))
        self._confirm(self._left(found, back=True))
        with renewing.site(self._settings, self._root, self._both()) as site:
            Rollover(site, journal, self._say(), root=str(self._root)).abort()
        return gone_back(str(self._root))

    def _new(self) -> tuple[Step, ...]:
        return forward(*self._names(), renewing.others(self._settings, self._root))

    def _left(self, found: UnderWay, *, back: bool) -> tuple[Step, ...]:
        return steps_of(found, *self._names(), back=back)

    def _names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return tuple(one.name for one in self._settings.etcd.members), tuple(
            one.name for one in self._settings.api_servers
        )

    def _found(self, journal: Journal) -> UnderWay:
        found = under_way(journal)
        if found is None:
            raise RefusedError("no roll-over is under way", hint="without --resume and --abort a new one is begun")
        if found.directory != str(self._root):
            raise RefusedError(
                f"the roll-over that is under way is that of {found.directory}", hint="name that directory"
            )
        return found

    def _settle(self, journal: Journal, found: UnderWay, *, back: bool) -> None:
        settle(renewing.Folder(self._root), journal, wiring.SystemClock(), found, back=back)

    def _present(self) -> dict[Generation, Layout]:
        return {Generation.OLD: Layout(self._root)}

    def _both(self) -> dict[Generation, Layout]:
        return {**self._present(), Generation.NEW: next_of(self._root)}

    def _say(self) -> Callable[[str], None]:
        return lambda line: None if self._quiet else click.echo(f"   {line}", err=True)

    def _confirm(self, steps: Sequence[Step]) -> None:
        if self._output != "json" and not (self._quiet and self._yes):
            click.echo("\n".join(lines(steps)), err=True)
        renewing.confirm(yes=self._yes, output=self._output)
