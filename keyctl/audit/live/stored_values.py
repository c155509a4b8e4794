"""What etcd, or a snapshot of it, really holds: every value read and judged as `keyctl verify-secrets` does.

Reads through a `ValueSource`; opens no connection and no file by itself, keeps no value, and gives no verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from keyctl.encryption_config.model import EncryptionConfig
from keyctl.errors import UnreachableError
from keyctl.findings import Evidence, Location
from keyctl.stored.judgement import ResourceResult
from keyctl.stored.source import ValueSource
from keyctl.verify.values import VerifyResult, verify

# How many objects of these resources the API knows.
Counts = Callable[[tuple[str, ...]], Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Judging:
    """By what values are judged: the distinct configurations of the API servers, none where none was to be had.

    `joined` opens whatever any of them opens. `prefix` is kube-apiserver's `--etcd-prefix`.
    """

    prefix: str
    configs: tuple[EncryptionConfig, ...] = field(repr=False, default=())
    joined: EncryptionConfig | None = field(repr=False, default=None)


@dataclass(frozen=True, slots=True)
class StoredValues:
    """What one source holds. `live`: all etcds of the cluster, now; else a file, which tells of itself only.

    `whole` is judged by all configurations together, and so says what nobody can read; `by_config` by each one.
    `etcds` is how many were read.
    """

    whole: VerifyResult = field(repr=False)
    by_config: tuple[VerifyResult, ...] = field(repr=False)
    live: bool
    location: Location
    etcds: int = 1
    evidence: Evidence = Evidence.E3

    @property
    def resources(self) -> tuple[ResourceResult, ...]:
        """Each resource that an API server reads and writes as its configuration says, with what was found of it."""
        return tuple(
            one for one in self.whole.resources if not all(stored.group.infrastructure for stored in one.stored)
        )

    @property
    def required(self) -> tuple[ResourceResult, ...]:
        """Each resource that any of the configurations requires to be encrypted, and secrets; judged by all of them."""
        by_all = {one.resource: one for one in self.whole.resources}
        asked = {one.resource: one for result in (*self.by_config, self.whole) for one in result.required}
        return tuple(by_all.get(name, one) for name, one in asked.items())


def live_values(source: Callable[[], ValueSource], judging: Judging, counts: Counts, *, etcds: int = 1) -> StoredValues:
    """What all `etcds` of a cluster hold now. `source` is made anew for each reading. Raises what it raises."""

    def read(config: EncryptionConfig | None) -> VerifyResult:
        def judge(expected: Mapping[str, int]) -> VerifyResult:
            return verify(source(), prefix=judging.prefix, config=config, expected_counts=expected)

        result = judge({})
        # NOTE: where nothing at all is stored the prefix is wrong, and there is nothing to compare with the API.
        empty = tuple(one.resource for one in result.required if not one.values) if result.source.count else ()
        expected = _counted(counts, empty) if empty else {}
        return judge(expected) if expected else result

    by_config = tuple(map(read, judging.configs))
    whole = by_config[0] if len(by_config) == 1 else read(judging.joined)
    return StoredValues(whole, by_config, True, Location(endpoint=whole.source.location), etcds)


def _counted(counts: Counts, resources: tuple[str, ...]) -> Mapping[str, int]:
    try:
        return counts(resources)
    except UnreachableError:
        # NOTE: what the API does not tell is not known, and what was read is all the same.
        return {}


def file_values(source: ValueSource, judging: Judging, name: str) -> StoredValues:
    """What a snapshot or a data directory called `name` holds, behind its live values too. Raises what it raises."""
    whole = verify(source, prefix=judging.prefix, config=judging.joined)
    return StoredValues(whole, (whole,), False, Location(file=name))
