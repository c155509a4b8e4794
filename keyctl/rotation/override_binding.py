"""Every etcd of an override is the one in which the API servers keep those resources.

The uid of kube-system binds the etcd that holds namespaces, and no other. Where a
port or a member is another one than the servers', a scan would look at somebody
else's values, or at none, and call it clean.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

from keyctl.encryption_config import effective
from keyctl.encryption_config.model import EncryptionConfig
from keyctl.errors import UnreachableError
from keyctl.kube.interface import ApiServer, StoredObject
from keyctl.rotation.world import EtcdPlace, World
from keyctl.stored import paths
from keyctl.stored.decrypt import Opened, open_value

# Objects come and go between the list and the look, and change; so many are looked for.
_TRIED = 50


def check_overrides(world: World, config: EncryptionConfig | None, api: ApiServer, served: Mapping[str, str]) -> None:
    """Raise `UnreachableError` where none of the objects that the API lists is in the etcd that should hold them.

    A resource of which there is no object binds nothing.
    """
    for place in world.etcds[1:]:
        for resource in place.resources:
            objects = tuple(islice(api.list_objects(resource), _TRIED)) if resource in served else ()
            if objects and not any(_is_there(world, place, config, one) for one in objects):
                raise UnreachableError(
                    f"the etcd at {place.endpoints[0]} is not the one that holds {resource}",
                    cause=f"the API lists {resource}, and none of the first {len(objects)} is in that etcd",
                    hint=f"correct the endpoints of {resource} under etcd.overrides in the cluster file "
                    "(kube-apiserver's --etcd-servers-overrides)",
                    rule="preflight",
                )


def _is_there(world: World, place: EtcdPlace, config: EncryptionConfig | None, one: StoredObject) -> bool:
    """Whether raw etcd has the very object, or the very revision of it where only a KMS plugin opens it."""
    ref = one.ref
    parts = (*([ref.namespace] if ref.namespace else []), ref.name)
    key = paths.prefix_of(world.prefix.encode(), ref.resource) + "/".join(parts).encode()
    stored = place.etcd.get(key)
    if stored is None:
        return False
    opened = open_value(effective.readers(config, ref.resource), key, stored[0])
    return opened.object.uid == ref.uid if isinstance(opened, Opened) else stored[1] == one.resource_version
