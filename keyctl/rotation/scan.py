"""Read everything in every etcd and judge it under one configuration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from keyctl.encryption_config import effective
from keyctl.encryption_config.model import EncryptionConfig
from keyctl.errors import UnreachableError
from keyctl.keys.key import KeyRef, Provider
from keyctl.stored.anew import anew
from keyctl.stored.census import Census, Problem, WorkItem
from keyctl.stored.groups import Group
from keyctl.stored.source import ValueSource

# What is proven one by one must end: this many metadata reads through each server take minutes, not hours.
KMS_LIMIT = 20_000


@dataclass(frozen=True, slots=True)
class Scan:
    """What stood in the etcds. `size` is the sum of the values' bytes; `revision` is that of the main etcd.

    `kms` names the first values that only a KMS plugin opens. With nothing
    `unreadable` it is short of `kms_values` only where there were more than its limit.
    """

    revision: int
    values: int
    size: int
    groups: tuple[Group, ...]
    problems: tuple[Problem, ...]
    unreadable: int
    work: tuple[WorkItem, ...]
    work_total: int
    kms: tuple[WorkItem, ...] = ()

    def leaving(self, keys: Collection[KeyRef]) -> int:
        """How many values stand under one of `keys`, whatever their resource; infrastructure and orphans included.

        NOTE: a stored name that no configuration knows is taken to end at its first
        colon: scan with a configuration that names `keys`.
        """
        return sum(g.values for g in self.groups if g.ref in keys)

    def counts(self) -> list[dict[str, object]]:
        """How many values stand under each key, by resource, in order, for a record; provider None: unrecognised."""
        found: Counter[tuple[str, str, str]] = Counter()
        for group in self.groups:
            found[group.resource, group.provider or "", group.key] += group.values
        return [
            {"resource": resource, "provider": provider or None, "key": key, "values": values}
            for (resource, provider, key), values in sorted(found.items())
        ]

    @property
    def kms_values(self) -> int:
        """How many values only a KMS plugin opens."""
        return sum(g.values for g in self.groups if g.provider is Provider.KMS)


@anew
def scan(
    source: ValueSource,
    *,
    prefix: str,
    config: EncryptionConfig | None,
    want: Mapping[str, KeyRef] | None = None,
    work_limit: int = 0,
    kms_limit: int = KMS_LIMIT,
) -> Scan:
    """Scan `source` and judge every value as a server with `config` would.

    `want` says under which key the values of a resource should stand; what does
    not is counted in `work_total`, and the first `work_limit` of it are in `work`.
    At most `kms_limit` values are in `kms`.
    Raises what a `ValueSource` raises, and `UnreachableError` when a source
    delivered fewer values than it holds.
    """
    # NOTE: no configuration means a server that encrypts nothing and reads nothing encrypted, not an unknown one.
    census = Census(
        prefix.encode(), config or EncryptionConfig(()), want=want, work_limit=work_limit, kms_limit=kms_limit
    )
    size = delivered = 0
    for batch in source.batches(prefix.encode()):
        delivered += len(batch)
        size += sum(len(value) for _, value, _ in batch)
        census.add(batch)
    info = source.info()
    if info.count != delivered:
        raise UnreachableError(
            f"{info.location} delivered {delivered} of {info.count} values", hint="run the same command again"
        )
    result = census.result()
    return Scan(
        revision=info.revision,
        values=result.values,
        size=size,
        groups=result.groups,
        problems=result.problems,
        unreadable=result.unreadable,
        work=result.work,
        work_total=result.work_total,
        kms=result.kms,
    )


def wanted(config: EncryptionConfig, new: KeyRef, resources: Iterable[str]) -> dict[str, KeyRef]:
    """`new` for each of `resources` that it writes under `config`."""
    return {resource: new for resource in resources if effective.writer(config, resource).ref == new}


def name_first(problems: tuple[Problem, ...], *, limit: int = 5) -> str:
    """The first problems in words: where, and what is wrong."""
    return "; ".join(_named(problems[:limit]))


def _named(problems: tuple[Problem, ...]) -> Iterator[str]:
    for problem in problems:
        yield f"{problem.etcd_key}: {problem.detail or problem.reason}"
