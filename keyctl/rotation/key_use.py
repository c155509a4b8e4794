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
from keyctl.keys.ledger import KeyRecord, KeyState
from keyctl.rotation import preflight
from keyctl.rotation.journal import LocalLock
from keyctl.rotation.node_files import holding
from keyctl.rotation.observe import require_access
from keyctl.rotation.obstacles import Obstacle
from keyctl.rotation.scan import scan
from keyctl.rotation.server_facts import ServerFacts, check_etcds, check_file, check_flags, look
from keyctl.rotation.world import Event, Reporter, World

# A resource that no API serves: an entry for it adds a key to what is known, and changes how nothing is stored.
_NOWHERE = "nowhere.keyctl.invalid"
# What the old key of a rotation is until that ends.
_REPLACED = {KeyState.ACTIVE, KeyState.SUSPENDED, KeyState.COMPROMISED}


@dataclass(frozen=True, slots=True)
class KeyUse:
    """Who uses a key.

    `unseen` says why a part of the cluster could not be judged, `holders` are the servers whose file has the key,
    with its path, `nodes` tells of those that are to load it or have reported it, and `values` counts the live values
    under it by resource. `begun` are other keys in files that the ledger does not have in use yet: the end of a
    rotation notes that.
    """

    unseen: tuple[RefusedError, ...]
    holders: tuple[tuple[str, str], ...]
    values: tuple[tuple[str, int], ...]
    nodes: tuple[Obstacle, ...] = ()
    begun: tuple[KeyRef, ...] = ()


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
    key = world.store.get(ref)
    holders = tuple((facts.server.name, facts.server.config_path) for facts in servers if ref in _refs(facts))
    told = {name for name, _ in holders}
    return KeyUse(
        unseen=unseen,
        holders=holders,
        values=_values(world, ref, _knowing(config, key), reporter),
        nodes=() if world.nodes is None else tuple(holding(world.nodes, ref, key, told=told)),
        begun=_begun(world, servers, ref),
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


def _begun(world: World, servers: tuple[ServerFacts, ...], ref: KeyRef) -> tuple[KeyRef, ...]:
    """Keys in files that were made and are not noted as in use, where `ref` is noted as what one may take the place of.

    The end of a rotation notes both. NOTE: a key for the first start of a cluster takes the place of none.
    """
    records = world.store.records()
    if not any(record.ref == ref and record.state in _REPLACED for record in records):
        return ()
    made = {record.ref for record in records if record.state is KeyState.PRE_ACTIVATION}
    in_files = {one for facts in servers for one in _refs(facts)}
    return tuple(sorted(made & in_files - {ref}))


def _values(world: World, ref: KeyRef, config: EncryptionConfig, reporter: Reporter) -> tuple[tuple[str, int], ...]:
    """How many live values of each resource stand under the key, in all etcds."""
    reporter.event(Event("step", "reading every value of every etcd"))
    count: Counter[str] = Counter()
    for group in scan(world.everything(), prefix=world.prefix, config=config).groups:
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


def _refs(facts: ServerFacts) -> set[KeyRef]:
    """The keys in the file of one server."""
    return set() if facts.config is None else {key.ref for key in effective.all_static_keys(facts.config)}
