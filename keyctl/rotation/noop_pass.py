"""The second pass: an empty patch of every object through every API server, after which no resourceVersion has moved.

A server writes on an empty patch exactly when what is stored is not what it would
write itself. So when nothing moves through any of them, all of them write with
one key, and every object that they serve stands under it: without a look into
etcd, and without keyctl's own eyes. It says nothing of values under paths that no
API serves, of other etcds' history, or of writes that are still under way; raw
etcd is what a key's removal rests on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice

from keyctl.errors import StoppedError
from keyctl.kube.interface import ApiServer, ObjectRef, Outcome, Patched
from keyctl.rotation.pacing import LARGEST_BATCH, Pace
from keyctl.rotation.patching import seen_of
from keyctl.rotation.refusals import Refusals, name_of
from keyctl.rotation.sending import Progress, Site

# More movers than this are no coincidence, and are not kept in memory.
_MOST_MOVERS = 1000
_NAMED = 5
# What a server answers to a patch with the uid of an object that was deleted, where another has its name now.
_REPLACED = 422
# An object that somebody changes in between moves, too; so what moved is asked about again.
_TRIES = 5


@dataclass(slots=True)
class Passed:
    """One server's part: objects asked about, and how many of them moved, by whoever's doing."""

    server: str
    objects: int = 0
    moved: int = 0


@dataclass(slots=True)
class _Pass:
    """What is known after a while: the last version seen of each object that moved, and what was refused."""

    movers: dict[ObjectRef, int] = field(default_factory=dict)
    refusals: Refusals = field(default_factory=Refusals)
    moved: int = 0


def second_pass(site: Site, resources: tuple[str, ...]) -> tuple[Passed, ...]:
    """Send it through every server in turn. Raises `StoppedError` when something keeps moving or is refused.

    What moved is asked about again, through every server: it is proven when none of
    them moves it once more, right after the other.
    """
    seen = _Pass()
    told = []
    for api in site.servers:
        passed = Passed(api.name)
        # NOTE: a total that is not known is told as what was done.
        progress = Progress(site.clock, site.reporter, 0, site.clock.monotonic())
        for resource in resources:
            _through(site, api, resource, seen, passed, progress)
        told.append(passed)
    _settle(site, seen)
    if seen.refusals.groups():
        raise seen.refusals.error("the second pass could not be carried through: objects are refused")
    site.write("proof", {"of": "second-pass", "resources": list(resources), "servers": _record(told)})
    return tuple(told)


def _through(site: Site, api: ApiServer, resource: str, seen: _Pass, passed: Passed, progress: Progress) -> None:
    """Every object of one resource through one server, at a pace that it bears."""
    pace = Pace()
    objects = api.list_objects(resource)
    while batch := list(islice(objects, min(pace.size, LARGEST_BATCH))):
        site.breathe()
        site.clock.sleep(pace.pause)
        begun = site.clock.monotonic()
        versions = {one.ref: one.resource_version for one in batch}
        answers = _patch(site, api, versions, pace.workers)
        pace = pace.after(seen_of(answers, site.clock.monotonic() - begun))
        passed.objects += len(batch)
        for patched in answers:
            passed.moved += _note(patched, versions, seen)
        progress.total += len(batch)
        progress.add(len(batch))


def _patch(site: Site, api: ApiServer, versions: Mapping[ObjectRef, int], workers: int) -> tuple[Patched, ...]:
    """Patch each; what a busy server did not take is sent once more."""
    answers = api.patch_empty(list(versions), workers=workers)
    busy = [one.ref for one in answers if one.outcome is Outcome.SLOWER]
    if not busy:
        return answers
    site.clock.sleep(1.0)
    again = api.patch_empty(busy, workers=1)
    return (*(one for one in answers if one.outcome is not Outcome.SLOWER), *again)


def _note(patched: Patched, versions: Mapping[ObjectRef, int], seen: _Pass) -> bool:
    """Whether it moved, or may have. One that is gone or was replaced is none of those that the pass is about."""
    if patched.outcome in (Outcome.REFUSED, Outcome.SLOWER):
        seen.refusals.note(patched)
        return False
    # NOTE: who got a conflict, or no version, has not been told that nothing moves.
    version = patched.resource_version if patched.outcome is Outcome.SENT else None
    if _is_gone(patched) or version == versions[patched.ref]:
        return False
    seen.moved += 1
    if len(seen.movers) < _MOST_MOVERS:
        seen.movers[patched.ref] = version or versions[patched.ref]
    return True


def _is_gone(patched: Patched) -> bool:
    """Whether the very object is not there any more; another one of its name is another object."""
    replaced = patched.outcome is Outcome.LOOK_AGAIN and patched.status == _REPLACED
    return replaced or patched.outcome is Outcome.GONE


def _settle(site: Site, seen: _Pass) -> None:
    """Ask every server about what moved until none moves it."""
    if seen.moved > _MOST_MOVERS:
        raise _moving(site, seen.movers)
    moving = seen.movers
    for _ in range(_TRIES):
        if not moving:
            return
        still: dict[ObjectRef, int] = {}
        for ref, version in moving.items():
            site.breathe()
            last, moved = version, False
            # NOTE: around once more, so that the last server's write is seen by the first.
            for api in (*site.servers, site.servers[0]):
                (patched,) = api.patch_empty([ref], workers=1)
                if _is_gone(patched):
                    moved = False
                    break
                if patched.outcome in (Outcome.REFUSED, Outcome.SLOWER):
                    seen.refusals.note(patched)
                    break
                moved |= patched.resource_version != last
                last = patched.resource_version or last
            if moved:
                still[ref] = last
        moving = still
    if moving:
        raise _moving(site, moving)


def _moving(site: Site, moving: Mapping[ObjectRef, int]) -> StoppedError:
    names = ", ".join(name_of(ref) for ref in islice(moving, _NAMED))
    return StoppedError(
        f"{len(moving)} objects move whenever another API server is sent an empty patch of them",
        cause=f"{names}: the servers do not all write with one key, or somebody changes these all the time",
        hint=(
            "the old key stays; nothing was removed and every value is readable",
            f"compare what {' and '.join(api.name for api in site.servers)} have loaded: keyctl rotate --resume",
        ),
        rule="R15",
    )


def _record(told: list[Passed]) -> list[dict[str, object]]:
    return [{"server": one.server, "objects": one.objects, "moved": one.moved} for one in told]
