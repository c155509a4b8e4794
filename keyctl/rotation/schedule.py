"""What a scheduled run finds before it does anything: a rotation under way, a key that is due, or neither.

Looks at the journal, and at the configuration files of the servers; changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.model import EncryptionConfig, KmsReader, StaticReader
from keyctl.errors import RefusedError, StoppedError
from keyctl.keys.key import KeyRef
from keyctl.rotation.closing import rests
from keyctl.rotation.due import InUse, Judgement, judge
from keyctl.rotation.journal import Journal, LocalLock, Record
from keyctl.rotation.plan import Goal
from keyctl.rotation.server_facts import flags_of
from keyctl.rotation.stages import entries_to_change
from keyctl.rotation.world import Server, World


@dataclass(frozen=True, slots=True)
class Resting:
    """A rotation that came to rest when its window closed, and that nobody has touched since."""

    rotation: str
    since: str


def prospect(
    world: World, journal: Journal, lock: LocalLock, *, resources: tuple[str, ...] | None, max_age: timedelta
) -> Resting | Judgement:
    """What is to be done: go on with a resting rotation, or what the age of the keys says.

    `resources` None means every entry that is written with a static key. Raises `StoppedError` for a rotation that is
    under way for any other reason, and `RefusedError` where another keyctl is at work here, where no static key
    writes, or where it is not known how long one has.
    """
    lock.acquire()
    try:
        records = journal.unfinished()
    finally:
        lock.release()
    if rests(records):
        return Resting(str(records[-1].get("rotation", "")), str(records[-1].get("at", "")))
    if records:
        raise _under_way(records)
    judged = judge(_keys_in_use(world, resources), world.store.records(), now=world.clock.now(), max_age=max_age)
    if judged.unknown:
        raise RefusedError(
            judged.sentence,
            cause=f"the key store at {world.store.location} does not tell; a scheduled run does not begin on a guess",
            hint=(
                "check keys.directory in the cluster file, and this machine's clock",
                "then rotate once by hand, which notes when the new key comes into use: keyctl rotate",
            ),
            rule="preflight",
        )
    return judged


def _keys_in_use(world: World, resources: tuple[str, ...] | None) -> tuple[InUse, ...]:
    """The static keys of the entries that would change, in the files of all servers, each once."""
    found: dict[tuple[KeyRef, str], InUse] = {}
    for server in world.servers:
        for key in _keys_of(_config(server), resources):
            place = key.ref, key.fingerprint
            if place not in found or key.writes:
                found[place] = key
    return tuple(found.values())


def _config(server: Server) -> EncryptionConfig | None:
    file = server.host.read(server.config_path) if flags_of(server).encryption_provider_config else None
    return None if file is None else decode(file.content, name=f"{server.name}:{server.config_path}").config


def _keys_of(config: EncryptionConfig | None, resources: tuple[str, ...] | None) -> Iterable[InUse]:
    entries = entries_to_change(config, resources, Goal.ROTATE)
    lists = [] if config is None else [config.entries[index].providers for index in entries]
    first = [providers[0].readers[0] for providers in lists]
    if any(isinstance(reader, KmsReader) for reader in first):
        raise RefusedError(
            "a KMS plugin writes these values", hint="rotate the key at the KMS; keyctl rotates static keys", rule="R16"
        )
    if not any(isinstance(reader, StaticReader) for reader in first):
        raise RefusedError(
            "plaintext writes these values: there is no key to change",
            cause="identity is first in every entry that would change",
            hint="keyctl enable",
            rule="preflight",
        )
    for reader in (reader for providers in lists for element in providers for reader in element.readers):
        if isinstance(reader, StaticReader):
            yield InUse(reader.ref, reader.key.fingerprint, writes=any(reader is one for one in first))


def _under_way(records: Iterable[Record]) -> StoppedError:
    known = tuple(records)
    back = any(record["kind"] == "abort" for record in known)
    last = known[-1]
    return StoppedError(
        "a rotation of this cluster is under way, and no other is begun",
        cause=f"rotation {last.get('rotation')} has had no end; its last record is of {last.get('at')}",
        hint=(
            "a scheduled run goes on only with what stopped because its maintenance window closed",
            "go on with: keyctl rotate --resume",
            *(() if back else ("or go back: keyctl rotate --abort",)),
        ),
        rule="R8",
    )
