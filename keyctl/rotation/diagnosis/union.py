"""The union configuration: it reads all that any server writes and all that is stored, and writes what all can read.

Pure: facts in, values and text out. The text holds key bytes; whether it opens everything is proven elsewhere, by
opening everything with it.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from keyctl.encryption_config import effective
from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.editing.notation import scalar
from keyctl.encryption_config.effective import ANYTHING, GroupResource
from keyctl.encryption_config.model import (
    EncryptionConfig,
    IdentityReader,
    KmsReader,
    ProviderElement,
    Reader,
    ResourceEntry,
    StaticReader,
)
from keyctl.encryption_config.server import Server
from keyctl.rotation.diagnosis.facts import Facts, KmsSettings, KnownKey, ValueGroup
from keyctl.rotation.diagnosis.readability import NOTHING, after_start, in_use, renamed

# A union changes nothing about KMS v1, whether a server still loads it or not.
_ANY_SERVER = Server(kms_v1_gate=True)
_HEAD = (
    "# The union of all configurations and of every key that a stored value needs (keyctl doctor).",
    "# It holds key bytes: keep it at mode 0600. Every API server needs the same file.",
)
_Fields = dict[str, object]


@dataclass(frozen=True, slots=True)
class Union:
    """`config` reads everything. `divided` are the resources that it writes with a key some server lacks by now.

    `brought` are the keys in it that no server's file has. `kms` holds the settings of its plugins, and `lacking`
    names those whose settings nobody has: without them there is no file to be made.
    """

    config: EncryptionConfig = field(repr=False)
    divided: tuple[str, ...]
    brought: tuple[KnownKey, ...]
    kms: tuple[KmsSettings, ...]
    lacking: tuple[str, ...] = ()

    def text(self, *, as_json: bool) -> bytes:
        """The whole file, with key bytes: YAML with a head of comments, or JSON, for k3s. Not with `lacking`."""
        document = _document(self.config, self.kms)
        if as_json:
            content = (json.dumps(document, indent=2) + "\n").encode()
        else:
            content = "\n".join((*_HEAD, *_block(document), "")).encode()
        if decode(content, name="the union configuration", server=_ANY_SERVER).config != self.config:
            raise RuntimeError("the union configuration does not mean what it should")
        return content


def union(facts: Facts) -> Union | None:
    """The union for `facts`; None where no server encrypts and nothing stored is encrypted."""
    configs = _configs(facts)
    groups = [group for group in facts.values or () if not group.lost and group.ref is not None]
    names = _names(configs, groups)
    if not names:
        return None
    served: dict[str, list[ValueGroup]] = {name: [] for name in names}
    for group in groups:
        name = _lookup(group.resource, names)
        if name is not None:
            served[name].append(group)
    loaded = _loaded(facts)
    readers: dict[str, tuple[Reader, ...]] = {}
    divided = []
    for name in names:
        writer, shared = _writer(name, configs, loaded, served[name])
        if not shared:
            divided.append(name)
        readers[name] = _readers(writer, name, configs, served[name])
    config = EncryptionConfig(tuple(_entries(readers)))
    kms = {(one.name, one.version): one for text in facts.texts for one in text.kms}
    plugins = (reader for some in readers.values() for reader in some if isinstance(reader, KmsReader))
    wanted = {(plugin.name, plugin.version) for plugin in plugins}
    return Union(
        config,
        tuple(divided),
        _brought(facts, config),
        tuple(kms[one] for one in sorted(wanted) if one in kms),
        tuple(name for name, _ in sorted(wanted - set(kms))),
    )


def _configs(facts: Facts) -> tuple[EncryptionConfig, ...]:
    """What every server has loaded and what it would load; one that encrypts nothing counts only where all do."""
    found = [config for server in facts.servers for config in (in_use(server, facts.texts).config, after_start(server))]
    known = [config for config in found if config is not None]
    return tuple([config for config in known if config != NOTHING] or known)


def _loaded(facts: Facts) -> tuple[EncryptionConfig, ...]:
    """What each server reads with now, or, where that is not known, from its next start on."""
    found = [in_use(server, facts.texts).config or after_start(server) for server in facts.servers]
    return tuple(config for config in found if config is not None and config != NOTHING)


def _names(configs: Iterable[EncryptionConfig], groups: Iterable[ValueGroup]) -> tuple[str, ...]:
    named = dict.fromkeys(name for config in configs for name in effective.named_resources(config))
    distinct = {GroupResource.parse(name): name for name in reversed(named)}
    names = [name for name in named if distinct[GroupResource.parse(name)] == name]
    sealed = (group.resource for group in groups if not group.plain)
    names += [resource for resource in dict.fromkeys(sealed) if _lookup(resource, tuple(names)) is None]
    # kube-apiserver refuses a name behind a wildcard that covers it.
    return tuple(sorted(names, key=_breadth))


def _breadth(name: str) -> int:
    parsed = GroupResource.parse(name)
    return 2 if parsed == ANYTHING else int(parsed.is_wildcard)


def _lookup(resource: str, names: Sequence[str]) -> str | None:
    """Which of `names` a server takes for `resource`."""
    wanted = GroupResource.parse(resource)
    known = {GroupResource.parse(name): name for name in names}
    order = (wanted, GroupResource("*", wanted.group), ANYTHING)
    return next((known[one] for one in order if one in known), None)


def _writer(
    name: str, configs: Sequence[EncryptionConfig], loaded: Sequence[EncryptionConfig], groups: Iterable[ValueGroup]
) -> tuple[Reader, bool]:
    """The reader that is to write, and whether every server reads it by now."""
    votes: Counter[Reader] = Counter(effective.writer(config, name) for config in (*loaded, *configs))
    values: Counter[Reader] = Counter()
    for group in groups:
        values[_reader_of(group)] += group.values
    everybodys = [
        reader
        for reader in dict.fromkeys(r for config in configs for r in effective.readers(config, name))
        if all(reader in effective.readers(config, name) for config in loaded)
    ]
    # NOTE: what somebody encrypts is not written in plaintext again because only plaintext is common to all. Where no
    # server's configuration is known, what stands in etcd tells that it is encrypted.
    writers = votes or values
    sealing = [reader for reader in (*everybodys, *writers) if not isinstance(reader, IdentityReader)]
    encrypted = any(not isinstance(reader, IdentityReader) for reader in writers)
    wanted = sealing if encrypted else [IdentityReader()]
    choice = [reader for reader in wanted if reader in everybodys] or wanted
    best = max(choice, key=lambda reader: (votes[reader], values[reader]))
    return best, best in everybodys or not loaded


def _readers(
    writer: Reader, name: str, configs: Sequence[EncryptionConfig], groups: Iterable[ValueGroup]
) -> tuple[Reader, ...]:
    """The writer, every other key, and plaintext last where anybody reads it or anything stands in it."""
    found: dict[Reader, None] = {writer: None}
    found |= dict.fromkeys(reader for config in configs for reader in effective.readers(config, name))
    found |= dict.fromkeys(_reader_of(group) for group in groups)
    plain = [reader for reader in found if isinstance(reader, IdentityReader) and reader != writer]
    return (*(reader for reader in found if reader not in plain), *plain)


def _reader_of(group: ValueGroup) -> Reader:
    if group.plain:
        return IdentityReader()
    if group.opened is None:
        return KmsReader("" if group.ref is None else group.ref.name, group.version)
    return StaticReader(renamed(group))


def _entries(readers: dict[str, tuple[Reader, ...]]) -> Iterator[ResourceEntry]:
    """Names of one breadth with the same readers stand together."""
    for _, some in groupby(readers, key=_breadth):
        alike: dict[tuple[Reader, ...], list[str]] = {}
        for name in some:
            alike.setdefault(readers[name], []).append(name)
        for ring, names in alike.items():
            elements = tuple(ProviderElement(reader.ref.provider, (reader,)) for reader in ring)
            yield ResourceEntry(tuple(names), elements)


def _brought(facts: Facts, config: EncryptionConfig) -> tuple[KnownKey, ...]:
    """The keys of the union that no server has, now or after its next start."""
    had = {key for one in _configs(facts) for key in effective.all_static_keys(one)}
    opened = {renamed(group): group.opened for group in facts.values or () if group.opened is not None}
    lacked = dict.fromkeys(key for key in effective.all_static_keys(config) if key not in had)
    return tuple(known for key in lacked if (known := opened.get(key)) is not None)


def _document(config: EncryptionConfig, kms: Iterable[KmsSettings]) -> _Fields:
    settings = {(one.name, one.version): one for one in kms}
    entries = [
        {
            "resources": list(entry.resources),
            "providers": [_element(reader, settings) for element in entry.providers for reader in element.readers],
        }
        for entry in config.entries
    ]
    return {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": entries}


def _element(reader: Reader, settings: dict[tuple[str, str], KmsSettings]) -> _Fields:
    match reader:
        case StaticReader(key=key):
            secret = base64.b64encode(key.material).decode("ascii")
            return {key.provider.value: {"keys": [{"name": key.name, "secret": secret}]}}
        case KmsReader(name=name, version=version):
            one = settings.get((name, version))
            fields: _Fields = {"apiVersion": version, "name": name, "endpoint": one.endpoint if one else ""}
            fields |= {"timeout": one.timeout} if one and one.timeout is not None else {}
            return {"kms": fields | ({"cachesize": one.cachesize} if one and one.cachesize is not None else {})}
        case IdentityReader():
            return {"identity": {}}


def _block(value: object) -> list[str]:
    """`value` as lines of YAML in block style."""
    if isinstance(value, dict):
        lines: list[str] = []
        for name, inner in value.items():
            if isinstance(inner, dict | list) and inner:
                indent = "  " if isinstance(inner, dict) else ""
                lines += [f"{name}:", *(indent + line for line in _block(inner))]
            else:
                lines.append(f"{name}: {_block(inner)[0]}")
        return lines or ["{}"]
    if isinstance(value, list):
        lines = []
        for inner in value:
            first, *rest = _block(inner)
            lines += [f"- {first}", *(f"  {line}" for line in rest)]
        return lines
    return [str(value) if isinstance(value, int) else scalar(str(value))]
