"""What kube-apiserver does with the values of one resource under a configuration, in sentences and as values.

Facts of k8s.io/apiserver pkg/storage/value/transformer.go and pkg/server/options/encryptionconfig/config.go. Says
what follows from the configuration; knows no stored value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from keyctl.encryption_config.checks.served_resources import unknown_resource
from keyctl.encryption_config.effective import ANYTHING, GroupResource
from keyctl.encryption_config.model import EncryptionConfig, IdentityReader, KmsReader, Reader, StaticReader
from keyctl.encryption_config.views.compare import may_be_mistaken
from keyctl.encryption_config.views.resource_view import (
    EVERYTHING_ELSE,
    ResourceView,
    reader_fields,
    reader_in_full,
    reader_name,
    resource_name,
    view,
)
from keyctl.keys.key import STATIC_PROVIDERS, KeyRef, Provider
from keyctl.keys.shown import shown_name, shown_ref

_PLAINTEXT = IdentityReader()
_NO_PREFIX = "no matching prefix found"
_UNREADABLE = (
    "Unreadable means: the API server answers 500 for each such object, and for every list that reaches etcd and meets",
    "one. A list from its cache can look fine, until it restarts and may not become ready: keyctl explain R10",
)
# Kept by kube-apiserver itself, without a resource of the API: no configuration reaches them.
_INFRASTRUCTURE = (
    "Never encrypted, whatever stands here: masterleases, peerserverleases, ranges, health, compact_rev_key."
)


class Outcome(StrEnum):
    """What becomes of a stored value: read and left alone, read and rewritten at its next update, or not read."""

    CURRENT = "current"
    STALE = "stale"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of the values under `reader`; under whatever is not named, where it is None."""

    reader: Reader | None
    outcome: Outcome
    line: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """One resource explained. `lines` are for a person, in order, indented where they belong to the one above."""

    view: ResourceView
    fates: tuple[Fate, ...]
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """The one key asked about; all of a provider's when `name` is None."""

    provider: Provider
    name: str | None

    def __str__(self) -> str:
        return shown_ref(KeyRef(self.provider, self.name)) if self.name else f"{self.provider}"


def explained(config: EncryptionConfig | None, resource: str, asked: Asked | None = None) -> Explanation:
    """What `config` does to `resource`, or to its values under the one key that is `asked` about."""
    shown = view(config, resource)
    if asked is not None:
        fates = tuple(_asked_fates(shown, asked))
        lines = [f"  {fate.line}" for fate in fates]
    else:
        fates = tuple(_fates(shown))
        lines = [
            *(f"  {line}" for line in _about(config, shown)),
            *_reading(shown),
            *(f"  {line}" for line in dict.fromkeys(_name_trouble(shown))),
            "  What becomes of stored values:",
            *(f"    - {fate.line}" for fate in fates),
        ]
    if any(fate.outcome is Outcome.UNREADABLE for fate in fates):
        lines += [f"  {line}" for line in _UNREADABLE]
    return Explanation(shown, fates, (f"{_title(resource)}:", *lines))


def fate_fields(fate: Fate) -> dict[str, object]:
    """A fate for JSON; `under` is None for whatever key is not named."""
    return {
        "under": None if fate.reader is None else reader_fields(fate.reader),
        "outcome": fate.outcome.value,
        "text": fate.line,
    }


def _title(resource: str) -> str:
    name = GroupResource.parse(resource)
    if not name.is_wildcard or name == ANYTHING:
        return resource_name(resource)
    return f"every other resource of {_group(name)} ({resource_name(resource)})"


def _group(name: GroupResource) -> str:
    return f"the group {shown_name(name.group)}" if name.group else "the core group"


def _about(config: EncryptionConfig | None, shown: ResourceView) -> Iterator[str]:
    """What the name stands for, which entry covers it, and what writes it."""
    wrong = None if shown.resource == EVERYTHING_ELSE else unknown_resource(shown.resource)
    if wrong is not None:
        yield f"Take care: nothing is stored under this name. {wrong.reason[0].upper()}{wrong.reason[1:]}: {wrong.fix}."
    if shown.covered_by is None:
        yield "No entry covers it."
    else:
        yield _coverage(shown, GroupResource.parse(shown.covered_by))
        yield from _shadowed(config, shown)
    if isinstance(shown.writer, IdentityReader):
        yield "New values are written in PLAINTEXT."
    else:
        yield f"New values are written with {reader_in_full(shown.writer)}."
    if shown.resource == EVERYTHING_ELSE:
        yield _INFRASTRUCTURE


def _coverage(shown: ResourceView, name: GroupResource) -> str:
    places = " and ".join(f"resources[{index}]" for index in shown.entries)
    verb = "covers" if len(shown.entries) == 1 else "cover"
    if name == ANYTHING:
        how = "by the wildcard '*.*', which is everything that no entry names more exactly"
    elif name.is_wildcard:
        how = f"by the wildcard '{shown_name(str(name))}', which is {_group(name)} less what an entry names itself"
    else:
        how = "by its own name"
    joined = (
        "" if len(shown.entries) == 1 else "; their providers are joined in this order: the first one of all writes"
    )
    return f"{places} {verb} it {how}{joined}."


def _shadowed(config: EncryptionConfig | None, shown: ResourceView) -> Iterator[str]:
    """Wildcards that would cover the resource, too, and are not looked at."""
    wanted = GroupResource.parse(shown.resource)
    for name in (GroupResource("*", wanted.group), ANYTHING):
        places = [
            f"resources[{index}]"
            for index, entry in enumerate(config.entries if config else ())
            if index not in shown.entries and name in map(GroupResource.parse, entry.resources)
        ]
        if places:
            wildcard = f"The wildcard '{shown_name(str(name))}' in {' and '.join(places)}"
            yield f"{wildcard} adds nothing to that: the most exact name alone counts."


def _reading(shown: ResourceView) -> Iterator[str]:
    if len(shown.readers) == 1 and isinstance(shown.writer, IdentityReader):
        yield "  On read nothing but plaintext is understood."
        return
    yield "  On read a value says under which provider and key name it is. Those of that name are tried in this order:"
    for number, reader in enumerate(shown.readers, 1):
        yield f"    {number}. {reader_in_full(reader)}{_again(shown, number - 1)}"


def _again(shown: ResourceView, index: int) -> str:
    first = shown.readers.index(shown.readers[index])
    return "" if first == index else f", which is number {first + 1} again and changes nothing"


def _name_trouble(shown: ResourceView) -> Iterator[str]:
    """Names that do not tell which key a value needs: one with other bytes, and one that another one starts with."""
    static = [reader for reader in shown.distinct if isinstance(reader, StaticReader)]
    for ref in dict.fromkeys(reader.ref for reader in static):
        same = [reader for reader in static if reader.ref == ref]
        if len(same) > 1:
            chance = (
                " aescbc cannot tell a wrong key for certain: about one value in 256 comes out as garbage."
                if ref.provider is Provider.AESCBC
                else ""
            )
            prints = ", then ".join(reader.key.fingerprint for reader in same)
            yield (
                f"Take care: {shown_ref(ref)} stands for {len(same)} different keys (fingerprints {prints}). "
                f"A value does not say which of them it needs: they are tried in this order.{chance}"
            )
    for place, reader in enumerate(shown.distinct):
        for other in shown.distinct[:place]:
            if _starts_with(reader, other):
                yield _collision(shown, reader, other)


def _starts_with(reader: Reader, other: Reader) -> bool:
    """Whether what every value under `reader` starts with is what values under `other` start with, and more."""
    if isinstance(reader, IdentityReader) or isinstance(other, IdentityReader):
        return False
    kinds = {_stored_version(reader), _stored_version(other)}
    return len(kinds) == 1 and reader.ref.name.startswith(f"{other.ref.name}:")


def _stored_version(reader: StaticReader | KmsReader) -> tuple[Provider, str]:
    return reader.ref.provider, reader.version if isinstance(reader, KmsReader) else "v1"


def _collision(shown: ResourceView, reader: Reader, other: Reader) -> str:
    name, shorter = reader_name(reader), reader_name(other)
    start = f"Take care: a value under {name} starts like one under {shorter}, which is tried on it first"
    if other in may_be_mistaken(shown.readers, reader):
        return f"{start}, and may open it as garbage."
    return f"{start}; that fails, and the search goes on."


def _fates(shown: ResourceView) -> Iterator[Fate]:
    for reader in shown.distinct:
        yield _fate(shown, reader)
    if _PLAINTEXT not in shown.readers:
        yield _fate(shown, _PLAINTEXT)
    yield _not_there(shown, "any other key", None)


def _asked_fates(shown: ResourceView, asked: Asked) -> Iterator[Fate]:
    if asked.provider is Provider.IDENTITY:
        yield _fate(shown, _PLAINTEXT)
        return
    held = [reader for reader in shown.distinct if reader.ref.provider is asked.provider]
    named = [reader for reader in held if asked.name in (None, reader.ref.name)]
    for reader in named:
        yield _fate(shown, reader)
    if named and asked.name is not None:
        if asked.provider in STATIC_PROVIDERS:
            yield _other_bytes(asked)
        return
    under = str(asked) if asked.name is not None else f"any {'other ' if named else ''}key of {asked}"
    yield _not_there(shown, under, asked)


def _fate(shown: ResourceView, reader: Reader) -> Fate:
    if isinstance(reader, IdentityReader):
        return _plaintext_fate(shown)
    under = f"values under {reader_in_full(reader)}"
    if reader == shown.writer:
        return Fate(reader, Outcome.CURRENT, f"{under} are read and current: {_current(reader)}.")
    mistaken = " and ".join(reader_in_full(other) for other in may_be_mistaken(shown.readers, reader))
    care = f" Some may come out as garbage under {mistaken}, which is tried first." if mistaken else ""
    text = f"{under} are read and count as stale: the next update, {_rewrite(shown)}.{care}"
    return Fate(reader, Outcome.STALE, text)


def _plaintext_fate(shown: ResourceView) -> Fate:
    if _PLAINTEXT not in shown.readers:
        text = f'plaintext is unreadable: it is refused where identity is not listed ("{_NO_PREFIX}").'
        return Fate(_PLAINTEXT, Outcome.UNREADABLE, text)
    if shown.writer == _PLAINTEXT:
        return Fate(_PLAINTEXT, Outcome.CURRENT, "plaintext is read and current: no update encrypts it.")
    text = f"plaintext is read and counts as stale: the next update, {_rewrite(shown)}."
    return Fate(_PLAINTEXT, Outcome.STALE, text)


def _current(writer: Reader) -> str:
    unchanged = "an update that changes nothing writes nothing"
    if not isinstance(writer, KmsReader):
        return unchanged
    if writer.version == "v1":
        return (
            f"{unchanged}, also after the plugin's own key has changed; only what Kubernetes 1.24 and older wrote "
            "counts as stale"
        )
    return f"{unchanged}, unless the plugin's own key (its key_id) has changed since; then they count as stale"


def _rewrite(shown: ResourceView) -> str:
    """What the next update does to a stale value; the command where keyctl has one."""
    writer = shown.writer
    update = "even one that changes nothing, writes such a value anew"
    if isinstance(writer, IdentityReader):
        return f"{update} in PLAINTEXT. To encrypt instead: keyctl enable"
    if isinstance(writer, KmsReader):
        return f"{update} with {reader_name(writer)}"
    twins = any(reader.ref == writer.ref and reader != writer for reader in shown.readers)
    name = reader_in_full(writer) if twins else reader_name(writer)
    return f"{update} with {name}. All of them at once, under a new key: keyctl rotate"


def _not_there(shown: ResourceView, under: str, asked: Asked | None) -> Fate:
    said = _said(shown, asked)
    told = f' ("{said}")' if said else ""
    return Fate(None, Outcome.UNREADABLE, f"values under {under} are unreadable: nothing here opens them{told}.")


def _other_bytes(asked: Asked) -> Fate:
    chance = ", or come out as garbage, about one in 256" if asked.provider is Provider.AESCBC else ""
    text = f"values under {asked} that were written with other bytes than these are unreadable{chance}."
    return Fate(None, Outcome.UNREADABLE, text)


def _said(shown: ResourceView, asked: Asked | None) -> str:
    """What the server's message has for a value under a key that is not there; "" where that depends on the key."""
    if shown.covered_by is None:
        return "identity transformer tried to read encrypted data"
    if asked is None:
        return ""
    held = [reader for reader in shown.readers if reader.ref.provider is asked.provider]
    if not held or asked.provider is Provider.KMS:
        return _NO_PREFIX
    # A name that goes on where one of the file ends is tried under that one, and fails in another way.
    if asked.name is None or any(f"{asked.name}:".startswith(f"{reader.ref.name}:") for reader in held):
        return ""
    kind = "Secretbox" if asked.provider is Provider.SECRETBOX else "AES"
    return f"no matching key was found for the provided {kind} transformer"
