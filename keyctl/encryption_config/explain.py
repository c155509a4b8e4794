"""What kube-apiserver does with the values of one resource under a configuration, in sentences and as values.

Facts of k8s.io/apiserver pkg/storage/value/transformer.go and pkg/server/options/encryptionconfig/config.go. Says
what follows from the configuration; knows no stored value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from keyctl.encryption_config.compare import may_be_mistaken
from keyctl.encryption_config.model import EncryptionConfig, IdentityReader, KmsReader, Reader, StaticReader
from keyctl.encryption_config.served_resources import unknown_resource
from keyctl.encryption_config.view import (
    EVERYTHING_ELSE,
    ResourceView,
    one_line,
    reader_fields,
    reader_in_full,
    reader_name,
    resource_name,
    view,
)
from keyctl.keys.key import STATIC_PROVIDERS, KeyRef, Provider

_PLAINTEXT = IdentityReader()
_NO_PREFIX = "no matching prefix found"
_BLOCKED = (
    "the API server answers 500 for each such object, and for every list that reaches etcd and meets one. A list from "
    "its cache can look fine, until it restarts and may not become ready (keyctl explain R10)"
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
        if self.provider is Provider.IDENTITY:
            return "plaintext"
        return one_line(str(KeyRef(self.provider, self.name))) if self.name else f"{self.provider}"


def explained(config: EncryptionConfig | None, resource: str, asked: Asked | None = None) -> Explanation:
    """What `config` does to `resource`, or to its values under the one key that is `asked` about."""
    shown = view(config, resource)
    title = resource_name(resource)
    if asked is not None:
        fates = tuple(_asked_fates(shown, asked))
        return Explanation(shown, fates, (f"{title}:", *(f"  {fate.line}" for fate in fates)))
    fates = tuple(_fates(shown))
    lines = (
        f"{title}:",
        *(f"  {line}" for line in _doubts(resource)),
        f"  {_coverage(shown)}",
        f"  {_writing(shown)}",
        *_reading(shown),
        *(f"  {line}" for line in _name_trouble(shown)),
        "  What becomes of stored values:",
        *(f"    - {fate.line}" for fate in fates),
    )
    return Explanation(shown, fates, lines)


def fate_fields(fate: Fate) -> dict[str, object]:
    """A fate for JSON; `under` is None for whatever key is not named."""
    return {
        "under": None if fate.reader is None else reader_fields(fate.reader),
        "outcome": fate.outcome.value,
        "text": fate.line,
    }


def _doubts(resource: str) -> Iterator[str]:
    wrong = None if resource == EVERYTHING_ELSE else unknown_resource(resource)
    if wrong is not None:
        yield f"Take care: nothing is stored under this name. {wrong.reason[0].upper()}{wrong.reason[1:]}: {wrong.fix}."


def _coverage(shown: ResourceView) -> str:
    if shown.covered_by is None:
        return "No entry covers it: it is stored in plaintext."
    places = " and ".join(f"resources[{index}]" for index in shown.entries)
    joined = ""
    if len(shown.entries) > 1:
        joined = "; their providers are joined in this order, so the first one of all writes"
    verb = "covers" if len(shown.entries) == 1 else "cover"
    if shown.covered_by.startswith("*"):
        group = "everything" if shown.covered_by == "*.*" else "its whole group"
        what = f"{places} {verb} it by the wildcard '{one_line(shown.covered_by)}', which is {group}"
        return f"{what}{joined}."
    return f"{places} {verb} it by name{joined}. No wildcard adds anything to a resource that has a name of its own."


def _writing(shown: ResourceView) -> str:
    writer = shown.writer
    if isinstance(writer, IdentityReader):
        return "New values are written in PLAINTEXT."
    return f"New values are written with {reader_in_full(writer)}."


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
                f"Take care: {one_line(str(ref))} stands for {len(same)} different keys (fingerprints {prints}). "
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
    yield _other_fate(shown, "any other key", None)


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
            yield _other_fate(shown, f"other bytes of the name {asked}", None, tried=True)
        return
    under = str(asked) if asked.name is not None else f"any {'other ' if named else ''}key of {asked}"
    yield _other_fate(shown, under, asked)


def _fate(shown: ResourceView, reader: Reader) -> Fate:
    under = "plaintext" if isinstance(reader, IdentityReader) else f"values under {reader_in_full(reader)}"
    verb = "is" if isinstance(reader, IdentityReader) else "are"
    if reader not in shown.readers:
        return Fate(reader, Outcome.UNREADABLE, f'{under} {verb} refused ("{_NO_PREFIX}"): {_BLOCKED}.')
    if reader == shown.writer:
        return Fate(reader, Outcome.CURRENT, f"{under} {verb} read and current: {_current(reader)}.")
    counts = "counts" if isinstance(reader, IdentityReader) else "count"
    return Fate(reader, Outcome.STALE, f"{under} {verb} read and {counts} as stale: {_stale(shown.writer)}.")


def _current(writer: Reader) -> str:
    unchanged = "an update that changes nothing writes nothing"
    if isinstance(writer, IdentityReader):
        return f"{unchanged}, and no update encrypts them"
    if not isinstance(writer, KmsReader):
        return unchanged
    if writer.version == "v1":
        return (
            f"{unchanged}, also after the plugin's own key has changed; only what Kubernetes 1.24 and older wrote "
            "counts as stale"
        )
    return f"{unchanged}, unless the plugin's own key (its key_id) has changed since; then they count as stale"


def _stale(writer: Reader) -> str:
    """What the next write does; the command where keyctl has one."""
    update = "the next update, even one that changes nothing, writes them"
    if isinstance(writer, IdentityReader):
        return f"{update} in PLAINTEXT. To encrypt instead: keyctl enable"
    if isinstance(writer, KmsReader):
        return f"{update} with {reader_name(writer)}"
    return f"{update} with {reader_name(writer)}. keyctl rotate rewrites all of them, under a new key"


def _other_fate(shown: ResourceView, under: str, asked: Asked | None, *, tried: bool = False) -> Fate:
    if tried:
        return Fate(None, Outcome.UNREADABLE, f"values under {under} are unreadable: they do not open, so {_BLOCKED}.")
    said = _said(shown, asked)
    told = f' ("{said}")' if said else ""
    return Fate(None, Outcome.UNREADABLE, f"values under {under} are unreadable{told}: {_BLOCKED}.")


def _said(shown: ResourceView, asked: Asked | None) -> str:
    """What the server's message has for a value under a key that is not there; "" where that depends on the key."""
    if shown.covered_by is None:
        return "identity transformer tried to read encrypted data"
    if asked is None:
        return ""
    held = [reader for reader in shown.readers if reader.ref.provider is asked.provider]
    if not held or asked.provider is Provider.KMS:
        return _NO_PREFIX
    if asked.name is not None and any(f"{asked.name}:".startswith(f"{reader.ref.name}:") for reader in held):
        return ""
    kind = "Secretbox" if asked.provider is Provider.SECRETBOX else "AES"
    return f"no matching key was found for the provided {kind} transformer"
