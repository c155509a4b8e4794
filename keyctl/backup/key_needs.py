"""Which keys a snapshot needs: those its values name, with the fingerprint of the bytes that opened them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from keyctl.backup.contents import Contents
from keyctl.encryption_config import effective
from keyctl.encryption_config.model import EncryptionConfig
from keyctl.keys.key import STATIC_PROVIDERS, KeyRef, Provider
from keyctl.stored.judgement import is_encrypted


@dataclass(frozen=True, slots=True)
class KeyNeed:
    """A key without which values of a snapshot are lost. `key_id` is what a KMS v2 plugin called its own key.

    `values` counts the live values under it, `opened` those of them that the configured key opened; `left` counts what
    is left behind under it in history and freed pages. `fingerprint` is that of the configured key of this name; None
    where there is none, where it opens none of the live values, or where the name stands for several.
    """

    ref: KeyRef
    version: str
    key_id: str | None
    values: int
    opened: int
    left: int
    fingerprint: str | None


@dataclass(slots=True)
class _Tally:
    values: int = 0
    opened: int = 0
    left: int = 0


def key_needs(contents: Contents, config: EncryptionConfig | None) -> tuple[KeyNeed, ...]:
    """The keys that `contents` names, in order; those that only leftovers need too, where leftovers were read."""
    tallies: dict[tuple[KeyRef, str, str | None], _Tally] = {}
    for group in contents.live.groups:
        if is_encrypted(group) and group.ref is not None:
            tally = tallies.setdefault((group.ref, group.version or "v1", group.key_id), _Tally())
            tally.values += group.values
            tally.opened += group.decrypted
    known = {ref: (ref, version, key_id) for ref, version, key_id in tallies}
    for left in contents.left.groups if contents.left else ():
        if left.ref is not None:
            tallies.setdefault(known.get(left.ref, (left.ref, "", None)), _Tally()).left += left.values
    prints = _fingerprints(config)
    return tuple(
        KeyNeed(ref, version, key_id, tally.values, tally.opened, tally.left, _proven(prints.get(ref, ()), tally))
        for (ref, version, key_id), tally in sorted(tallies.items(), key=lambda item: (item[0][0], item[0][2] or ""))
    )


def static_refs(needs: Iterable[KeyNeed]) -> tuple[KeyRef, ...]:
    """The keys that live values need and that a key store can keep, each once."""
    return tuple(dict.fromkeys(need.ref for need in needs if need.values and need.ref.provider in STATIC_PROVIDERS))


def plugin_needs(needs: Iterable[KeyNeed]) -> tuple[KeyNeed, ...]:
    """The keys that live values need and that are at a KMS, behind a plugin: by plugin and by its name for the key."""
    return tuple(need for need in needs if need.values and need.ref.provider is Provider.KMS)


def _fingerprints(config: EncryptionConfig | None) -> dict[KeyRef, tuple[str, ...]]:
    found: dict[KeyRef, tuple[str, ...]] = {}
    for key in effective.all_static_keys(config) if config else ():
        found[key.ref] = tuple(dict.fromkeys((*found.get(key.ref, ()), key.fingerprint)))
    return found


def _proven(prints: tuple[str, ...], tally: _Tally) -> str | None:
    # NOTE: a key of the right name and other bytes is not the key that the values need.
    opens = tally.opened > 0 or tally.values == 0
    return prints[0] if len(prints) == 1 and opens else None
