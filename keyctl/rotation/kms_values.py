"""Values that keyctl cannot open itself, because a KMS plugin holds the key: each server is asked for each (R16).

And before the first of them is written: whether the servers' plugins have one key between them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from keyctl.errors import StoppedError
from keyctl.keys.key import KeyRef, Provider
from keyctl.kube.interface import ObjectRef
from keyctl.rotation.world import Server, World
from keyctl.stored.census import WorkItem

_BREATH = 50
# "sha256:" and twelve digits.
_SHOWN = 19
_ON = ("then: keyctl rotate --resume; or go back: keyctl rotate --abort",)
HINT = "see that the KMS plugin of this server runs and has its keys, and that you may get this resource"
# Of a rotation that is under way. NOTE: a key that is taken from a plugin takes what it sealed with it.
STOPPED_HINT = (HINT, "leave the plugins of the other servers as they are until it is read everywhere", *_ON)


@dataclass(frozen=True, slots=True)
class SealedValues:
    """Values that only a KMS plugin opens. `stay`: every server reads each of them, or no step is taken.

    `go` are those of the plugin `withdrawn`, which a rotation on its way back takes out of use: one server that reads
    them is enough, for through it they are rewritten.
    """

    stay: tuple[WorkItem, ...] = ()
    go: tuple[WorkItem, ...] = ()
    withdrawn: KeyRef | None = None


@dataclass(frozen=True, slots=True)
class Unread:
    """A value that a server does not read, in words, and what the server said."""

    message: str
    cause: str


def check_one_key(world: World, writer: KeyRef) -> None:
    """Where a plugin is to write: those of its name, one on each host, say that they seal with the same key.

    Read off the servers. Raises `StoppedError` (R16) where one does not say so: what it wrote, others might not read.
    """
    if writer.provider is not Provider.KMS:
        return
    plugin = writer.name
    seen = {server.name: server.api.probe().kms_key_ids.get(plugin, "") for server in world.servers}
    silent = next((name for name, key_id in seen.items() if not key_id), None)
    if silent is not None:
        raise StoppedError(
            f"{silent} does not say which key its plugin {plugin} has",
            cause="its metrics hold no key id of that plugin",
            hint=("every server reads every value, and writes with the old key", *_ON),
            rule="R16",
        )
    if len(set(seen.values())) > 1:
        raise StoppedError(
            f"the plugins {plugin} on the hosts have different keys",
            cause=", ".join(f"{name}: {key_id[:_SHOWN]}" for name, key_id in seen.items()),
            hint=("point all of them at one key of the KMS: what one seals the others must open", *_ON),
            rule="R16",
        )


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
