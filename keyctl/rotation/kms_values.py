"""Values that keyctl cannot open itself, because a KMS plugin holds the key: each server is asked for each (R16)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from keyctl.kube.interface import ObjectRef
from keyctl.rotation.world import Server, World
from keyctl.stored.census import WorkItem

_BREATH = 50
HINT = "see that the KMS plugin of this server runs and has its keys, and that you may get this resource"


@dataclass(frozen=True, slots=True)
class Unread:
    """A value that a server does not read, in words, and what the server said."""

    message: str
    cause: str


def first_unread(
    world: World, server: Server, values: Sequence[WorkItem], *, between: Callable[[], None]
) -> Unread | None:
    """GET each of `values` through `server`, metadata only, without resourceVersion: the server opens what is stored.

    Returns the first one that it cannot read, None when it reads them all. One
    that is gone from etcd by now is fine. `between` is called now and then; it
    raises when there is a reason to stop.
    """
    for number, item in enumerate(values):
        if number % _BREATH == 0:
            between()
        got = server.api.get_metadata(ObjectRef(item.resource, item.namespace, item.name, item.uid))
        if got.count and not got.problem:
            continue
        if got.problem or world.etcd_of(item.resource).get(item.etcd_key) is not None:
            place = f"{item.namespace}/{item.name}" if item.namespace else item.name
            return Unread(
                f"{server.name} cannot read {item.resource} {place}, which is under a KMS plugin",
                got.problem or "it is in etcd, and the API says that it does not exist",
            )
    return None
