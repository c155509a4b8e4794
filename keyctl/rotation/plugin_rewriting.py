"""Rewrite to a KMS plugin, or back from one, where some server may lack the plugin's key (R16, R10).

Servers are asked what key their plugins have before the first of them writes; but one id may name two keys, and only a
value that is read back tells. So one value goes first, and what a server cannot read leads back through one that can.
"""

from __future__ import annotations

from dataclasses import replace

from keyctl.errors import StoppedError
from keyctl.keys.key import KeyRef, Provider
from keyctl.rotation.kms_values import STOPPED_HINT, first_unread
from keyctl.rotation.leaving import Job
from keyctl.rotation.patching import Patching
from keyctl.rotation.plan import Stage, Way
from keyctl.rotation.sending import Site
from keyctl.rotation.world import Event, World
from keyctl.stored.census import WorkItem
from keyctl.stored.envelope import Sealed, classify


def rewrite_first(job: Job, site: Site) -> None:
    """Where a plugin is to write: one value, which every server reads back, before the others go under its key.

    Raises `StoppedError` (R16) where one cannot.
    """
    writing = job.plan.old_refs if job.way is Way.BACK else (job.plan.new,)
    if all(key.provider is not Provider.KMS for key in writing):
        return
    found = site.count()
    for item in found.work:
        writer = job.readings.writer(item.resource)
        if writer.provider is not Provider.KMS or item.resource not in site.served:
            continue
        # NOTE: through the first server, for on the way back that is the first one to write with the old key again.
        Patching(replace(site, servers=site.servers[:1])).round(found, [item])
        if not _is_under(job.world, item, writer):
            continue
        for server in job.world.servers:
            unread = first_unread(job.world, server, [item], between=job.breathe)
            if unread is not None:
                raise StoppedError(unread.message, cause=unread.cause, hint=STOPPED_HINT, rule="R16")
        return


def put_back_for(job: Job, site: Site, name: str) -> None:
    """On the way back, before `name` restarts: what it cannot read of the plugin's values is rewritten (R10).

    Servers that write with the old key again, and read those values, do it. Raises `StoppedError` where none does:
    `name` would not be ready again.
    """
    server = job.world.server(name)
    left = job.readings.sealed().go
    if not left or _reads(job, name, left):
        return
    back = [other for other in job.world.servers if other is not server and _is_back(job, other.name)]
    message = f"{name} does not read what {job.plan.new} sealed: it is rewritten before {name} restarts"
    job.reporter.event(Event("step", message))
    job.effects.await_loaded(tuple(other.name for other in back if other.reloads))
    for other in back:
        Patching(replace(site, servers=(other.api,))).round(site.count(), left)
        site.count()
        left = job.readings.sealed().go
        if not left or _reads(job, name, left):
            return
    if server.api.probe().ready:
        raise StoppedError(
            f"{name} would not be ready after a restart: {len(left)} values are under {job.plan.new}",
            cause="its plugin does not open them, and no server that writes with the old key again does",
            hint=STOPPED_HINT,
            rule="R10",
        )


def _reads(job: Job, name: str, values: tuple[WorkItem, ...]) -> bool:
    server = job.world.server(name)
    return server.api.probe().ready and first_unread(job.world, server, values, between=job.breathe) is None


def _is_back(job: Job, name: str) -> bool:
    """Whether the server is up with a file that writes with the old key, or is about to load it."""
    ready = job.world.server(name).api.probe().ready
    return ready and job.effects.stage_at_start(name) is Stage.ADDED


def _is_under(world: World, item: WorkItem, plugin: KeyRef) -> bool:
    stored = world.etcd_of(item.resource).get(item.etcd_key)
    head = None if stored is None else classify(stored[0], (plugin.name,))
    return isinstance(head, Sealed) and head.ref == plugin
