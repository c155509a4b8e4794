"""Rewrite what raw etcd shows under another key, through the API, until nothing is left (rule R15).

Each round takes its work list from a fresh raw scan: no answer of the API counts
as done, so a conflict, a lost answer or a crash costs a second look and no more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from keyctl.errors import StoppedError
from keyctl.kube.interface import ApiServer, ObjectRef, Outcome, Patched
from keyctl.rotation.scan import Scan
from keyctl.rotation.world import Clock, Event, Reporter
from keyctl.stored.census import WorkItem
from keyctl.stored.groups import Group

BATCH = 500
WORKERS = 12
ROUND_LIMIT = 20_000

_IDLE_ROUNDS = 3


@dataclass(slots=True)
class Progress:
    """How many of `total` were sent, since `begun` on the monotonic clock, in seconds."""

    begun: float
    total: int
    sent: int = 0


class Rewriter:
    """Works off one work list after another.

    `count` makes a fresh scan, in which everything opens and `work` is what still
    has to be rewritten; `around` runs one batch between its journal entries and checks the Lease.
    """

    def __init__(
        self,
        servers: tuple[ApiServer, ...],
        *,
        served: dict[str, str],
        count: Callable[[], Scan],
        around: Callable[[int, Callable[[], Counter[str]]], Counter[str]],
        clock: Clock,
        reporter: Reporter,
    ) -> None:
        self._servers = servers
        self._served = served
        self._count = count
        self._around = around
        self._clock = clock
        self._reporter = reporter
        self._refused: dict[ObjectRef, str] = {}
        self._workers = WORKERS

    def run(self) -> None:
        """Rewrite until a scan finds nothing left. Raises `StoppedError` when that cannot be reached."""
        found = self._count()
        progress = Progress(self._clock.monotonic(), found.work_total)
        idle, fewest = 0, found.work_total
        while found.work_total:
            work = self._rewritable(found)
            if not work:
                raise _orphaned(found, self._served)
            self._refused.clear()
            refs = [ObjectRef(item.resource, item.namespace, item.name, item.uid) for item in work]
            for start in range(0, len(refs), BATCH):
                self._batch(refs[start : start + BATCH], progress, turn=start // BATCH + idle)
            found = self._count()
            idle = idle + 1 if found.work_total >= fewest else 0
            fewest = min(fewest, found.work_total)
            if idle >= _IDLE_ROUNDS or (idle and found.work_total <= len(self._refused)):
                raise self._stuck(found)

    def _rewritable(self, found: Scan) -> list[WorkItem]:
        """What the API serves of the work list; asked again when that is nothing, for definitions come and go."""
        if not any(item.resource in self._served for item in found.work):
            self._served.update(self._servers[0].discover())
        return [item for item in found.work if item.resource in self._served]

    def _batch(self, refs: list[ObjectRef], progress: Progress, *, turn: int) -> None:
        api = self._servers[turn % len(self._servers)]
        slower = self._around(len(refs), lambda: self._send(api, refs, progress))[Outcome.SLOWER]
        if slower:
            # R15: 429 and 5xx mean slower; what was not done comes back with the next scan.
            self._workers = max(1, self._workers // 2)
            self._clock.sleep(min(5.0, 1.0 + slower / BATCH * 4))

    def _send(self, api: ApiServer, refs: list[ObjectRef], progress: Progress) -> Counter[str]:
        counts: Counter[str] = Counter()

        def on_result(patched: Patched) -> None:
            counts[patched.outcome] += 1
            if patched.outcome is Outcome.REFUSED:
                self._refused[patched.ref] = patched.message
            elif patched.outcome is Outcome.SENT:
                progress.sent += 1
            self._reporter.event(self._progress_event(progress))

        answers = api.patch_empty(refs, workers=self._workers, on_result=on_result)
        if len(answers) != len(refs):
            raise RuntimeError(f"{len(refs)} patches, {len(answers)} answers")
        return counts

    def _progress_event(self, progress: Progress) -> Event:
        elapsed = max(self._clock.monotonic() - progress.begun, 1e-6)
        rate = progress.sent / elapsed
        left = max(progress.total - progress.sent, 0)
        return Event(
            "progress",
            f"rewritten {progress.sent} of {progress.total}, {rate:.0f}/s",
            {"done": progress.sent, "total": progress.total, "rate": rate, "left": left / rate if rate else None},
        )

    def _stuck(self, found: Scan) -> StoppedError:
        first = "; ".join(
            f"{ref.namespace}/{ref.name}: {message}" if ref.namespace else f"{ref.name}: {message}"
            for ref, message in list(self._refused.items())[:5]
        )
        return StoppedError(
            f"{_values(found)} could not be rewritten",
            cause=first or "the API answered, but raw etcd still shows them under another key",
            hint=(
                "the old key stays; nothing was removed and every value is readable",
                "exempt these updates in the webhook or mend the objects, then: keyctl rotate --resume",
            ),
            rule="R15",
        )


def _orphaned(found: Scan, served: dict[str, str]) -> StoppedError:
    """Everything that is left stands at paths that no API serves (R18)."""
    orphans = [name for group in found.groups if _is_orphan(group, served) for name in group.first]
    return StoppedError(
        f"{_values(found)} cannot be rewritten: no API serves that resource",
        cause=", ".join(orphans[:5]),
        hint="install the resource's definition again, or delete the value; then: keyctl rotate --resume",
        rule="R18",
    )


def _values(found: Scan) -> str:
    return "1 value" if found.work_total == 1 else f"{found.work_total} values"


def _is_orphan(group: Group, served: dict[str, str]) -> bool:
    return group.resource not in served and not group.infrastructure
