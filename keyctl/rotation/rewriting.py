"""Rewrite what raw etcd shows under another key, through the API, until nothing is left (rule R15).

Each round takes its work list from a fresh raw scan: no answer of the API counts
as done, so a conflict, a lost answer or a crash costs a second look and no more.
"""

from __future__ import annotations

from collections.abc import Collection

from keyctl.errors import StoppedError
from keyctl.rotation.leaving import Job
from keyctl.rotation.migrating import Migrating
from keyctl.rotation.noop_pass import second_pass
from keyctl.rotation.patching import Patching
from keyctl.rotation.plan import Engine, Way
from keyctl.rotation.plugin_rewriting import rewrite_first
from keyctl.rotation.refusals import Refusals
from keyctl.rotation.scan import Scan
from keyctl.rotation.sending import Sender, Site, ref_of
from keyctl.rotation.world import Event
from keyctl.stored.census import WorkItem
from keyctl.stored.groups import Group

_LONGEST_PAUSE = 8.0


def rewrite(job: Job, *, served: dict[str, str], migrated: Collection[str]) -> None:
    """Rewrite everything that `job` is to rewrite, by the engine of its plan; then the second pass, where asked for.

    `migrated` are the migrations that earlier runs began and did not end. Raises `StoppedError`.
    """
    site = site_of(job, served)
    migrating = Migrating(site)
    rewrite_first(job, site)
    Rewriter(site, migrating if job.plan.engine is Engine.SVM else Patching(site)).run()
    migrating.forget(migrated)
    if job.plan.second_pass:
        changing = (name for name in sorted(served) if job.readings.configs.changes(name))
        second_pass(site, tuple(changing))


def site_of(job: Job, served: dict[str, str]) -> Site:
    """What rewriting for `job` works with. `served` maps what the API serves to its group and version."""
    return Site(
        servers=tuple(server.api for server in job.world.servers),
        served=served,
        etcds=tuple(place.etcd for place in job.world.etcds),
        count=job.readings.scan,
        write=job.write,
        breathe=job.breathe,
        clock=job.world.clock,
        reporter=job.reporter,
        tag=job.plan.rotation if job.way is Way.FORWARD else f"{job.plan.rotation}-back",
    )


class Rewriter:
    """Works off one work list after another, by `sender`."""

    def __init__(self, site: Site, sender: Sender) -> None:
        self._site = site
        self._sender = sender

    def run(self) -> None:
        """Rewrite until a scan finds nothing left. Raises `StoppedError` when that cannot be reached."""
        found = self._site.count()
        idle, fewest = 0, found.work_total
        while found.work_total:
            work = self._rewritable(found)
            if not work:
                raise _orphaned(found, self._site.served)
            self._sender.round(found, work)
            found = self._site.count()
            idle = idle + 1 if found.work_total >= fewest else 0
            fewest = min(fewest, found.work_total)
            if idle:
                self._require_hope(found, idle)
        self._sender.close()

    def _rewritable(self, found: Scan) -> list[WorkItem]:
        """What the API serves of the work list; asked again when that is nothing, for definitions come and go."""
        served = self._site.served
        if not any(item.resource in served for item in found.work):
            served.update(self._site.servers[0].discover())
        return [item for item in found.work if item.resource in served]

    def _require_hope(self, found: Scan, idle: int) -> None:
        """A round has brought nothing: go on in a moment, or stop where another round cannot bring more."""
        refusals = self._sender.refusals(found)
        if idle >= self._sender.patience or found.work_total <= refusals.refused:
            raise self._stuck(found, refusals)
        self._site.breathe()
        self._site.clock.sleep(min(2.0**idle, _LONGEST_PAUSE))

    def _stuck(self, found: Scan, refusals: Refusals) -> StoppedError:
        refusals.note_unmoved([ref_of(item) for item in found.work])
        self._site.write("refused", {"left": found.work_total, "classes": refusals.to_record()})
        for group in refusals.groups():
            self._site.reporter.event(Event("refused", group.in_words(), group.to_event()))
        return refusals.error(f"{_values(found)} could not be rewritten")


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
