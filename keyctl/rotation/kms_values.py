"""Values that keyctl cannot open itself, because a KMS plugin holds the key: each server is asked for each (R16)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from keyctl.errors import StoppedError
from keyctl.kube.interface import ObjectRef
from keyctl.rotation.world import Server, World
from keyctl.stored.census import WorkItem

_BREATH = 50


def prove_kms_values(world: World, server: Server, values: Sequence[WorkItem], *, between: Callable[[], None]) -> None:
    """GET each of `values` through `server`, metadata only, without resourceVersion: the server opens what is stored.

    `between` is called now and then; it raises when there is a reason to stop.
    Raises `StoppedError` naming the first one that the server cannot read. One
    that is gone from etcd by now is fine.
    """
    for number, item in enumerate(values):
        if number % _BREATH == 0:
            between()
        got = server.api.get_metadata(ObjectRef(item.resource, item.namespace, item.name, item.uid))
        stored = got.count or world.etcd_of(item.resource).get(item.etcd_key) is not None
        if got.problem or (stored and not got.count):
            place = f"{item.namespace}/{item.name}" if item.namespace else item.name
            raise StoppedError(
                f"{server.name} cannot read {item.resource} {place}, which is under a KMS plugin",
                cause=got.problem or "it is in etcd, and the API says that it does not exist",
                hint="see that the plugin of this server runs and has its keys",
                rule="R16",
            )
