"""Which resources a change reaches, with those that its wildcards stand for. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from keyctl.encryption_config import effective
from keyctl.encryption_config.model import EncryptionConfig, GroupResource
from keyctl.rotation.plan import FileChange


def changes(config: EncryptionConfig | None, change: FileChange, resource: str) -> bool:
    """Whether `change` of a file that says `config` decides what writes `resource`.

    Its first entry is one that changes; or none covers it yet, and what is to be covered names it, maybe by a wildcard.
    """
    covering = effective.covering_entries(config, resource) if config is not None else ()
    return covering[0] in change.entries if covering else _names(change.resources, resource)


def reached(config: EncryptionConfig | None, change: FileChange, served: Iterable[str]) -> tuple[str, ...]:
    """Those of `served` that `change` reaches, in order."""
    return tuple(sorted(name for name in served if changes(config, change, name)))


def _names(resources: Iterable[str], resource: str) -> bool:
    wanted = GroupResource.parse(resource)
    lookup = {wanted, GroupResource("*", wanted.group), effective.ANYTHING}
    return not lookup.isdisjoint(map(GroupResource.parse, resources))
