"""Who reads what: each server, with what it has loaded and with what it would load, against values and writers. Pure.

A server picks a reader by what the head of a value names, so a key reads a value only under the very name that the
value was written with.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from keyctl.encryption_config import effective
from keyctl.encryption_config.model import EncryptionConfig, IdentityReader, KmsReader, Reader, StaticReader
from keyctl.keys.key import Key
from keyctl.rotation.diagnosis.facts import ConfigText, Facts, ServerSeen, ValueGroup

NOTHING = EncryptionConfig(())


@dataclass(frozen=True, slots=True)
class InUse:
    """What a server has loaded. `config` None: not known. `how` says what that rests on, or why it is not known.

    `assumed`: nothing shows it, and its file stands for it. `origin` is the file that has it.
    """

    config: EncryptionConfig | None = field(repr=False)
    how: str
    assumed: bool = False
    origin: str = ""


def in_use(server: ServerSeen, texts: Iterable[ConfigText]) -> InUse:
    """What `server` has loaded, as far as the hash that it reports and the `texts` at hand tell."""
    if not server.answers:
        return InUse(None, server.problem or "it does not answer")
    if server.loaded_hash is not None:
        text = next((text for text in texts if text.sha256 == server.loaded_hash), None)
        if text is None:
            return InUse(None, "it has loaded a file that is not at hand")
        return InUse(text.config, server.loaded_by, origin=text.origin)
    if server.loaded_by or server.flag is False:
        return InUse(NOTHING, server.loaded_by or "no flag")
    if server.file is not None:
        return InUse(server.file.config, server.doubt, assumed=True, origin=server.file.origin)
    return InUse(None, server.file_problem or server.doubt or "nothing shows it")


def after_start(server: ServerSeen) -> EncryptionConfig | None:
    """What `server` would load if it started now; None where that is not known."""
    if server.flag is False:
        return NOTHING
    return None if server.file is None else server.file.config


def reads(config: EncryptionConfig, group: ValueGroup) -> bool:
    """Whether a server with `config` reads the values of `group`. Never true of what no key at hand opened."""
    readers = effective.readers(config, group.resource)
    if group.ref is None or group.lost:
        return False
    if group.plain:
        return any(isinstance(reader, IdentityReader) for reader in readers)
    if group.opened is None:
        return any(
            isinstance(reader, KmsReader) and reader.ref == group.ref and reader.version == group.version
            for reader in readers
        )
    return StaticReader(renamed(group)) in readers


def renamed(group: ValueGroup) -> Key:
    """The key that opens `group`, under the name that its values have it by. `RuntimeError` where there is none."""
    if group.opened is None or group.ref is None:
        raise RuntimeError("no static key opened these values")
    return Key(group.ref.provider, group.ref.name, group.opened.key.material)


@dataclass(frozen=True, slots=True)
class Unread:
    """`server` cannot read the values of `groups`; `later`: not after its next start."""

    server: str
    groups: tuple[ValueGroup, ...]
    later: bool

    @property
    def values(self) -> int:
        """How many values those are."""
        return sum(group.values for group in self.groups)


@dataclass(frozen=True, slots=True)
class WritesUnread:
    """What `writer` writes of `resources` is under `reader`'s key, and `blind` servers cannot read that."""

    writer: str
    reader: Reader
    resources: tuple[str, ...]
    blind: tuple[str, ...]


def unread(facts: Facts) -> tuple[Unread, ...]:
    """Each server that cannot read some value, now or after its next start; the lost ones, nobody can, are left out."""
    found = []
    groups = [group for group in facts.values or () if not group.lost]
    for server in facts.servers:
        now = in_use(server, facts.texts).config
        blind = () if now is None else tuple(group for group in groups if not reads(now, group))
        if blind:
            found.append(Unread(server.name, blind, later=False))
        then = after_start(server)
        worse = () if then is None else tuple(g for g in groups if not reads(then, g) and g not in blind)
        if worse:
            found.append(Unread(server.name, worse, later=True))
    return tuple(found)


def writes_unread(facts: Facts) -> tuple[WritesUnread, ...]:
    """Each writer whose values some other server cannot read, with what both have loaded (rule R1)."""
    loaded = {server.name: in_use(server, facts.texts).config for server in facts.servers}
    known = {name: config for name, config in loaded.items() if config is not None}
    found: dict[tuple[str, Reader, tuple[str, ...]], list[str]] = {}
    for resource in resources_of(facts):
        for name, config in known.items():
            writer = effective.writer(config, resource)
            blind = tuple(n for n, other in known.items() if writer not in effective.readers(other, resource))
            if blind:
                found.setdefault((name, writer, blind), []).append(resource)
    return tuple(WritesUnread(name, writer, tuple(of), blind) for (name, writer, blind), of in found.items())


def resources_of(facts: Facts) -> tuple[str, ...]:
    """Every resource that a configuration names or that has encrypted values, and those that should have."""
    named = (name for text in facts.texts for name in effective.named_resources(text.config))
    stored = (group.resource for group in facts.values or () if not group.plain and group.ref is not None)
    return tuple(dict.fromkeys((*facts.required, *named, *stored)))
