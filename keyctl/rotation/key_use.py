"""Who uses a key: the files of servers and the live values of every etcd. Looks only.

What cannot be looked at is never taken for "not used": an etcd or a host that does
not answer ends it (`UnreachableError`), and a server whose flags or file leave a
doubt is told as such.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from keyctl.encryption_config import effective
from keyctl.encryption_config.model import EncryptionConfig, ProviderElement, ResourceEntry, StaticReader
from keyctl.errors import RefusedError, UnusableInputError
from keyctl.keys import ledger
from keyctl.keys.key import Key, KeyRef
from keyctl.keys.ledger import KeyRecord
from keyctl.rotation import preflight
from keyctl.rotation.journal import LocalLock
from keyctl.rotation.observe import require_access
from keyctl.rotation.scan import scan
from keyctl.rotation.server_facts import ServerFacts, check_etcds, check_file, check_flags, look
from keyctl.rotation.world import Event, Reporter, World

# A resource that no API serves: an entry for it adds a key to what is known, and changes how nothing is stored.
_NOWHERE = "nowhere.keyctl.invalid"


@dataclass(frozen=True, slots=True)
class KeyUse:
    """Who uses a key.

    `unseen` says why a part of the cluster could not be judged, `holders` are the servers whose file has the key,
    with its path, and `values` counts the live values under it by resource.
    """

    unseen: tuple[RefusedError, ...]
    holders: tuple[tuple[str, str], ...]
    values: tuple[tuple[str, int], ...]


def known(world: World, ref: KeyRef) -> KeyRecord:
    """What the ledger has of `ref`. Raises `UnusableInputError` when the key store has no such key."""
    record = ledger.find(world.store.records(), ref)
    if record is None:
        raise UnusableInputError(
            f"there is no key {ref} in the key store {world.store.location}",
            hint="see them all: keyctl keys list",
        )
    return record


def look_for(world: World, ref: KeyRef, reporter: Reporter) -> KeyUse:
    """Look for `ref` on every server and in every etcd. Raises `UnreachableError` for what does not answer."""
    servers, unseen = _servers(world, reporter)
    config = servers[0].config if servers else None
    if servers:
        preflight.check_binding(world, config, world.servers[0].api)
    return KeyUse(
        unseen=unseen,
        holders=tuple((facts.server.name, facts.server.config_path) for facts in servers if _holds(facts, ref)),
        values=_values(world, ref, config, reporter),
    )


@contextmanager
def alone(world: World, lock: LocalLock) -> Iterator[None]:
    """R8: no rotation begins meanwhile, neither here nor on another machine."""
    lock.acquire()
    try:
        world.lease.acquire()
        try:
            yield
        finally:
            world.lease.release()
    finally:
        lock.release()


def _servers(world: World, reporter: Reporter) -> tuple[tuple[ServerFacts, ...], tuple[RefusedError, ...]]:
    """What was found of the servers, and why some of it, or the list of them, cannot be relied on."""
    found: list[ServerFacts] = []
    unseen: list[RefusedError] = []
    for server in world.servers:
        with _noted(unseen):
            found.append(look(server))
    for facts in found:
        require_access(facts.probe)
        with _noted(unseen):
            check_flags(world, facts)
        with _noted(unseen):
            check_etcds(world, facts)
        if facts.probe.ready:
            with _noted(unseen):
                check_file(facts)
    if len(found) == len(world.servers):
        with _noted(unseen):
            preflight.check_membership(world, tuple(facts.probe for facts in found), reporter)
    return tuple(found), tuple(unseen)


def _values(
    world: World, ref: KeyRef, config: EncryptionConfig | None, reporter: Reporter
) -> tuple[tuple[str, int], ...]:
    """How many live values of each resource stand under the key, in all etcds."""
    reporter.event(Event("step", "reading every value of every etcd"))
    knowing = _knowing(config, world.store.get(ref))
    count: Counter[str] = Counter()
    for group in scan(world.everything(), prefix=world.prefix, config=knowing).groups:
        if group.ref == ref:
            count[group.resource] += group.values
    return tuple(sorted(count.items()))


@contextmanager
def _noted(errors: list[RefusedError]) -> Iterator[None]:
    """Keep a refusal as one reason among others."""
    try:
        yield
    except RefusedError as error:
        errors.append(error)


def _knowing(config: EncryptionConfig | None, key: Key | None) -> EncryptionConfig:
    """`config` with `key` among what it reads: a stored name with a colon is told by the names that are known."""
    entries = () if config is None else config.entries
    if key is None:
        return EncryptionConfig(entries)
    reader = ProviderElement(key.provider, (StaticReader(key),))
    return EncryptionConfig((*entries, ResourceEntry((_NOWHERE,), (reader,))))


def _holds(facts: ServerFacts, ref: KeyRef) -> bool:
    return facts.config is not None and any(key.ref == ref for key in effective.all_static_keys(facts.config))
