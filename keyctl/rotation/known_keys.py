"""The keys that a plan names, with their bytes: from the key store, or, where it lost one, from a server's file."""

from __future__ import annotations

from collections.abc import Iterator

from keyctl.encryption_config import effective
from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.plugin import Plugin, Writer
from keyctl.errors import RefusedError
from keyctl.keys.key import Key, KeyRef, Provider
from keyctl.rotation.plan import OldKey
from keyctl.rotation.secure import read_back
from keyctl.rotation.stages import IDENTITY
from keyctl.rotation.world import World


def old_keys_of(world: World, planned: tuple[OldKey, ...], plugin: Plugin | None = None) -> tuple[Writer, ...]:
    """The old keys as the store gives them, and `plugin` where it is among them.

    Raises `RefusedError` (R5) when a key is not there or has other bytes.
    """
    static = (old for old in planned if old.ref != IDENTITY and old.ref.provider is not Provider.KMS)
    keys = tuple(known_key(world, old.ref, old.fingerprint) for old in static)
    leaves = plugin is not None and plugin.ref in {old.ref for old in planned}
    return (plugin, *keys) if plugin is not None and leaves else keys


def known_key(world: World, ref: KeyRef, fingerprint: str) -> Key:
    """The key of that fingerprint from the store; where the store lost it, from a server's file, and back into it."""
    key = world.store.get(ref)
    if key is None:
        key = next((key for key in _keys_in_files(world) if key.ref == ref and key.fingerprint == fingerprint), None)
        if key is not None:
            world.store.put(key, origin="imported")
            read_back(world, key)
    if key is None or key.fingerprint != fingerprint:
        raise RefusedError(
            f"the key store at {world.store.location} does not hold {ref}, nor does any server's file",
            hint="use the key store that this rotation began with",
            rule="R5",
        )
    return key


def _keys_in_files(world: World) -> Iterator[Key]:
    for server in world.servers:
        file = server.host.read(server.config_path)
        if file is not None:
            config = decode(file.content, name=f"{server.name}:{server.config_path}").config
            yield from effective.all_static_keys(config)
