"""Every patch of a rewriting as a dry run: the servers go through admission and validation, and write nothing.

What would be refused later, by a webhook, a policy or a quota, is told before
anything is touched. A dry run says nothing of what only a write can meet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

from keyctl.errors import RefusedError
from keyctl.kube.interface import Outcome, Patched
from keyctl.rotation.outline import counted
from keyctl.rotation.pacing import LARGEST_BATCH, Pace
from keyctl.rotation.patching import seen_of
from keyctl.rotation.preflight import Facts
from keyctl.rotation.reach import reached
from keyctl.rotation.refusals import Refusals
from keyctl.rotation.world import Event, Reporter, World

# What a server answers for a webhook that does not say that it bears a dry run.
_NO_DRY_RUN = "does not support dry run"


@dataclass(slots=True)
class Rehearsal:
    """So many `objects` were sent. `untried`: a webhook stood in the way, for it takes part in no dry run."""

    objects: int = 0
    untried: int = 0
    first_untried: str = ""
    refusals: Refusals = field(default_factory=Refusals)

    def in_words(self) -> tuple[str, ...]:
        """Lines for the plan."""
        lines = [
            f"Rehearsed: {counted(self.objects, 'object')} sent as a dry run, {self.objects - self.untried} accepted"
        ]
        if self.untried:
            lines.append(f"  ! not tried: {counted(self.untried, 'object')}: {self.first_untried}")
        return tuple(lines)


def rehearse(world: World, facts: Facts, reporter: Reporter, *, breathe: Callable[[], None]) -> Rehearsal:
    """Send every object whose writer changes through the first server as a dry run.

    Raises `RefusedError` (R15) when any would be refused, with what to do about
    it, and `UnreachableError` when the server cannot be asked.
    """
    told, api, clock = Rehearsal(), world.servers[0].api, world.clock
    for resource in reached(facts.servers[0].config, facts.change, facts.served):
        reporter.event(Event("step", f"rehearsing the rewriting of {resource}: a dry run of every patch"))
        pace, objects = Pace(), api.list_objects(resource)
        while batch := list(islice(objects, min(pace.size, LARGEST_BATCH))):
            breathe()
            clock.sleep(pace.pause)
            begun = clock.monotonic()
            answers = api.patch_empty([one.ref for one in batch], workers=pace.workers, dry_run=True)
            pace = pace.after(seen_of(answers, clock.monotonic() - begun))
            for patched in answers:
                _note(told, patched)
    groups = told.refusals.groups()
    if groups:
        raise RefusedError(
            f"{sum(group.count for group in groups)} of {told.objects} objects could not be rewritten",
            cause="; ".join(group.in_words() for group in groups),
            hint=(*dict.fromkeys(group.next_step for group in groups), "nothing was changed; then run this again"),
            rule="R15",
        )
    return told


def _note(told: Rehearsal, patched: Patched) -> None:
    told.objects += 1
    if _NO_DRY_RUN in patched.message:
        told.untried += 1
        told.first_untried = told.first_untried or patched.message
    elif patched.outcome is Outcome.REFUSED:
        told.refusals.note(patched)
    elif patched.outcome is Outcome.SLOWER:
        told.untried += 1
        told.first_untried = told.first_untried or patched.message
