"""Read everything in every etcd and judge it under one configuration."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from keyctl.encryption_config import effective
from keyctl.encryption_config.model import EncryptionConfig
from keyctl.errors import UnreachableError
from keyctl.keys.key import KeyRef, Provider
from keyctl.stored.census import Census, Problem, WorkItem
from keyctl.stored.groups import Group
from keyctl.stored.source import ValueSource


@dataclass(frozen=True, slots=True)
class Scan:
    """What stood in the etcds. `size` is the sum of the values' bytes; `revision` is that of the main etcd."""

    revision: int
    values: int
    size: int
    groups: tuple[Group, ...]
    problems: tuple[Problem, ...]
    unreadable: int
    work: tuple[WorkItem, ...]
    work_total: int

    def under(self, config: EncryptionConfig, new: KeyRef) -> int:
        """How many values of resources that `new` writes are under `new`."""
        return sum(g.values for g in self.groups if _written_by(g, config, new) and g.ref == new)

    def elsewhere(self, config: EncryptionConfig, new: KeyRef) -> int:
        """How many values of resources that `new` writes are not under `new`, orphans included."""
        return sum(g.values for g in self.groups if _written_by(g, config, new) and g.ref != new)

    @property
    def kms_values(self) -> int:
        """How many values only a KMS plugin opens."""
        return sum(g.values for g in self.groups if g.provider is Provider.KMS)


def scan(
    source: ValueSource,
    *,
    prefix: str,
    config: EncryptionConfig | None,
    want: Mapping[str, KeyRef] | None = None,
    work_limit: int = 0,
) -> Scan:
    """Scan `source` and judge every value as a server with `config` would.

    `want` says under which key the values of a resource should stand; what does
    not is counted in `work_total`, and the first `work_limit` of it are in `work`.
    Raises what a `ValueSource` raises, and `UnreachableError` when a source
    delivered fewer values than it holds.
    """
    # NOTE: no configuration means a server that encrypts nothing and reads nothing encrypted, not an unknown one.
    census = Census(prefix.encode(), config or EncryptionConfig(()), want=want, work_limit=work_limit)
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


def _written_by(group: Group, config: EncryptionConfig, new: KeyRef) -> bool:
    return not group.infrastructure and effective.writer(config, group.resource).ref == new
