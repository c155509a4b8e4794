"""The engine that sends the empty patches itself: batch after batch, over all servers, at the pace that each bears.

Nothing counts as done by its answer (rule R15): what was lost or refused comes
back with the next scan.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from keyctl.kube.interface import ApiServer, ObjectRef, Outcome, Patched
from keyctl.rotation.pacing import Pace, Seen
from keyctl.rotation.refusals import Refusals
from keyctl.rotation.scan import Scan
from keyctl.rotation.sending import Progress, Site, ref_of
from keyctl.rotation.world import Event
from keyctl.stored.census import WorkItem

_TOO_MANY = 429
# The user may stop meanwhile, and the Lease wants to be renewed.
_NAP = 1.0


@dataclass(slots=True)
class _Lane:
    """One server, its pace, and when it may be asked again, on the monotonic clock."""

    api: ApiServer
    pace: Pace
    ready_at: float = 0.0


class Patching:
    """See `Sender`. Servers take turns; one that wants to be left alone is passed over until its time has come."""

    patience = 4

    def __init__(self, site: Site) -> None:
        self._site = site
        self._room = site.room()
        self._lanes = [_Lane(api, Pace()) for api in site.servers]
        self._refusals = Refusals()
        self._progress: Progress | None = None

    def round(self, found: Scan, work: Sequence[WorkItem]) -> None:
        """Patch each of `work` once."""
        if self._progress is None:
            clock = self._site.clock
            self._progress = Progress(clock, self._site.reporter, found.work_total, clock.monotonic())
        self._refusals = Refusals()
        done = 0
        while done < len(work):
            self._room.require()
            lane = self._next_lane()
            batch = [ref_of(item) for item in work[done : done + lane.pace.size]]
            done += len(batch)
            self._send(lane, batch, self._progress)
        self._progress.tell()

    def refusals(self, found: Scan) -> Refusals:  # noqa: ARG002 - the other engine looks at it
        """What this round's answers say."""
        return self._refusals

    def close(self) -> None:
        """It has nothing in the cluster."""

    def _next_lane(self) -> _Lane:
        """The server whose turn it is among those that may be asked; waits for the first one when none may."""
        clock = self._site.clock
        while (first := min(lane.ready_at for lane in self._lanes)) > clock.monotonic():
            self._site.breathe()
            clock.sleep(min(_NAP, first - clock.monotonic()))
        lane = next(lane for lane in self._lanes if lane.ready_at <= clock.monotonic())
        self._lanes.remove(lane)
        self._lanes.append(lane)
        return lane

    def _send(self, lane: _Lane, batch: list[ObjectRef], progress: Progress) -> None:
        site = self._site
        site.breathe()
        site.write("intent", {"step": "rewrite", "values": len(batch)})
        counts: Counter[str] = Counter()

        def on_result(patched: Patched) -> None:
            counts[patched.outcome] += 1
            self._refusals.note(patched)
            progress.add(patched.outcome is Outcome.SENT)

        begun = site.clock.monotonic()
        answers = lane.api.patch_empty(batch, workers=lane.pace.workers, on_result=on_result)
        if len(answers) != len(batch):
            raise RuntimeError(f"{len(batch)} patches, {len(answers)} answers")
        site.write("outcome", {"step": "rewrite", "values": len(batch), **counts})
        self._keep_pace(lane, answers, site.clock.monotonic() - begun)

    def _keep_pace(self, lane: _Lane, answers: tuple[Patched, ...], seconds: float) -> None:
        before, now = lane.pace, self._site.clock.monotonic()
        lane.pace = before.after(seen_of(answers, seconds))
        lane.ready_at = now + lane.pace.pause
        if lane.pace.troubles:
            last = next(one.message for one in reversed(answers) if one.outcome is Outcome.SLOWER)
            message = f"{lane.api.name} is too busy ({last}): {lane.pace.workers} at a time, in {lane.pace.pause:.0f} s"
            self._site.reporter.event(Event("wait", message, _fields(lane)))
        elif lane.pace.workers != before.workers:
            message = f"{lane.api.name}: {lane.pace.workers} at a time"
            self._site.reporter.event(Event("pace", message, _fields(lane)))


def seen_of(answers: Sequence[Patched], seconds: float) -> Seen:
    """What one batch tells the controller; the latency is that of the answers that were given in earnest."""
    busy = [one for one in answers if one.outcome is Outcome.SLOWER]
    throttled = sum(one.status == _TOO_MANY for one in busy)
    return Seen(
        answers=len(answers),
        seconds=seconds,
        latency=median([one.seconds for one in answers if one.outcome is not Outcome.SLOWER] or [0.0]),
        throttled=throttled,
        failed=len(busy) - throttled,
        retry_after=max((one.retry_after for one in busy), default=0.0),
    )


def _fields(lane: _Lane) -> dict[str, object]:
    return {"server": lane.api.name, "workers": lane.pace.workers, "pause": lane.pace.pause}
