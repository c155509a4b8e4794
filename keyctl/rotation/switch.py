"""Prove by canaries that every server writes with the new key and reads what every other writes."""

from __future__ import annotations

from keyctl.encryption_config import effective
from keyctl.encryption_config.model import EncryptionConfig
from keyctl.errors import StoppedError
from keyctl.keys.key import KeyRef, Provider
from keyctl.kube.interface import ObjectRef
from keyctl.rotation.world import CANARY_NAMESPACE, Server, World
from keyctl.stored.decrypt import Opened, open_value
from keyctl.stored.envelope import Sealed, classify, kms_v2_key_id

_RESOURCE = "secrets"


def prove_writes(world: World, config: EncryptionConfig, new: KeyRef, *, tag: str) -> None:
    """Create one canary through each server; see it raw under `new`, and read it through every server.

    `config` is a configuration that reads whatever they write; `tag` makes the
    canaries' names this run's own. Raises `StoppedError` when any of it is not so.
    """
    for server in world.servers:
        prove_write(world, server, config, new, tag=tag)


def prove_write(world: World, server: Server, config: EncryptionConfig | None, writer: KeyRef, *, tag: str) -> None:
    """`prove_writes` for one server, which is to write with `writer`.

    Of a KMS plugin's value only the head is known: the rest is that every server reads it back.
    """
    number = 1 + [one.name for one in world.servers].index(server.name)
    canary = server.api.create_canary(CANARY_NAMESPACE, f"keyctl-canary-{tag}-{number}")
    try:
        _check_raw(world, config, server, canary, writer)
        _check_read_by_all(world, server, canary)
    finally:
        server.api.delete_canary(canary)


def _check_raw(world: World, config: EncryptionConfig | None, server: Server, canary: ObjectRef, new: KeyRef) -> None:
    key = f"{world.prefix}/{_RESOURCE}/{canary.namespace}/{canary.name}".encode()
    stored = world.etcd_of(_RESOURCE).get(key)
    if stored is None:
        raise _not_so(f"a Secret written through {server.name} is not in etcd")
    value, revision = stored
    if not _is_under(config, key, value, new):
        raise _not_so(f"{server.name} does not write with {new}")
    (patched,) = server.api.patch_empty((canary,), workers=1)
    if patched.resource_version != revision:
        raise _not_so(
            f"{server.name} answers resourceVersion {patched.resource_version}, raw etcd holds revision {revision}"
        )


def _is_under(config: EncryptionConfig | None, key: bytes, value: bytes, new: KeyRef) -> bool:
    if new.provider is Provider.KMS:
        head = classify(value, (new.name,))
        return isinstance(head, Sealed) and head.ref == new and kms_v2_key_id(value[head.body_at :]) is not None
    opened = open_value(effective.readers(config, _RESOURCE), key, value)
    return isinstance(opened, Opened) and opened.reader.ref == new


def _check_read_by_all(world: World, writer: Server, canary: ObjectRef) -> None:
    for reader in world.servers:
        got = reader.api.get_metadata(canary)
        if got.problem or got.count != 1:
            raise _not_so(f"{reader.name} cannot read what {writer.name} writes: {got.problem or 'not found'}")


def _not_so(message: str) -> StoppedError:
    return StoppedError(
        message, hint="both keys are in place and readable; when mended: keyctl rotate --resume", rule="R2"
    )
