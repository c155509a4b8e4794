"""The EncryptionConfiguration without which an API server does not read a backup: what it says, and its text. Pure.

The text has key bytes only where whoever asks gives them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from keyctl.backup.contents import Contents
from keyctl.keys.key import KeyRef, Provider
from keyctl.keys.ledger import KeyRecord, KeyState
from keyctl.stored.groups import Group
from keyctl.stored.judgement import is_encrypted

# NOTE: nobody but the user knows where the plugin listens on the machine that is restored to.
PLUGIN_SOCKET = "unix:///path/of/the/plugin.sock"
_HEAD = ("apiVersion: apiserver.config.k8s.io/v1", "kind: EncryptionConfiguration", "resources:")


@dataclass(frozen=True, slots=True, order=True)
class Needed:
    """What the values of one resource are read with: `ref` and, for a plugin, its version ("v1" else)."""

    ref: KeyRef
    version: str = "v1"


@dataclass(frozen=True, slots=True)
class NeededEntry:
    """One element of the list: `resources` are read with `readers`, the first of which writes; `plain`: and as text."""

    resources: tuple[str, ...]
    readers: tuple[Needed, ...]
    plain: bool


def needed_entries(contents: Contents, records: Iterable[KeyRecord] = ()) -> tuple[NeededEntry, ...]:
    """The entries that reading the live values of `contents` takes; none when nothing in it is encrypted.

    The key that is active by `records` comes first, else the one with the most values.
    """
    active = {record.ref for record in records if record.state is KeyState.ACTIVE}
    by_resource: dict[str, list[Group]] = {}
    for group in contents.live.groups:
        if not group.infrastructure and group.ref is not None:
            by_resource.setdefault(group.resource, []).append(group)
    found: dict[tuple[tuple[Needed, ...], bool], list[str]] = {}
    for resource, groups in sorted(by_resource.items()):
        sealed = [group for group in groups if is_encrypted(group)]
        if sealed:
            plain = any(group.encoding is not None for group in groups)
            found.setdefault((_in_order(sealed, active), plain), []).append(resource)
    return tuple(NeededEntry(tuple(names), readers, plain) for (readers, plain), names in found.items())


def resources(entries: Iterable[NeededEntry]) -> tuple[str, ...]:
    """Every resource that has encrypted values, in order."""
    return tuple(sorted(name for entry in entries for name in entry.resources))


def render(
    entries: Sequence[NeededEntry], secret: Callable[[KeyRef], str], *, label: Callable[[str], str] = str
) -> str:
    """The text of the configuration. `secret` gives what stands in the place of a key's bytes, `label` of its name."""
    if not entries:
        return ""
    return "\n".join((*_HEAD, *(line for entry in entries for line in _entry(entry, secret, label)))) + "\n"


def _in_order(groups: Iterable[Group], active: set[KeyRef]) -> tuple[Needed, ...]:
    counts: dict[Needed, int] = {}
    for group in groups:
        if group.ref is not None:
            reader = Needed(group.ref, group.version or "v1")
            counts[reader] = counts.get(reader, 0) + group.values
    return tuple(sorted(counts, key=lambda one: (one.ref not in active, -counts[one], one)))


def _entry(entry: NeededEntry, secret: Callable[[KeyRef], str], label: Callable[[str], str]) -> Iterator[str]:
    yield "- resources:"
    yield from (f"  - {json.dumps(name)}" for name in entry.resources)
    yield "  providers:"
    for reader in entry.readers:
        name = json.dumps(label(reader.ref.name))
        yield f"  - {reader.ref.provider}:"
        if reader.ref.provider is Provider.KMS:
            yield from (
                f"      apiVersion: {reader.version}",
                f"      name: {name}",
                f"      endpoint: {PLUGIN_SOCKET}",
            )
        else:
            yield from ("      keys:", f"      - name: {name}", f"        secret: {secret(reader.ref)}")
    if entry.plain:
        yield "  - identity: {}"
