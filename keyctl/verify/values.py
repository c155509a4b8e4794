"""Judge every stored value of a source under one configuration.

Does not know where the values come from, opens no connection and prints
nothing: a source and a configuration go in, a `VerifyResult` comes out, which
`keyctl.verify.report` puts into words. What is right is decided in `keyctl.stored.judgement`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from keyctl.encryption_config import effective
from keyctl.encryption_config.model import EncryptionConfig, IdentityReader
from keyctl.errors import ExitCode, UnreachableError
from keyctl.keys.key import KeyRef, Provider
from keyctl.stored import paths
from keyctl.stored.anew import anew
from keyctl.stored.census import Census, CensusResult, Problem
from keyctl.stored.decrypt import Reason
from keyctl.stored.display import display
from keyctl.stored.judgement import ResourceResult, judge, outcomes, worst_first
from keyctl.stored.paths import root_of
from keyctl.stored.source import FileSource, SourceInfo, ValueSource, keys_outside
from keyctl.verify.leftovers import Leftovers, Sought, look_behind

_MOST_ELSEWHERE = 3


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """What one run found. `outcomes` are worst first; none means that all is right.

    `neighbours` are the largest prefixes in the same etcd, asked for only when
    nothing was there to check: (prefix, number of keys), fit for display.
    `require` is the provider or key that values had to be under. `left` is what lies behind the live values.
    `elsewhere` counts the live values that a source on disk has under other prefixes, which are not judged: (number,
    most of these prefixes, as in `neighbours`).
    """

    source: SourceInfo
    prefix: str
    configured: bool
    only: tuple[str, ...]
    resources: tuple[ResourceResult, ...]
    problems: tuple[Problem, ...]
    problem_counts: Mapping[tuple[str, Reason], int]
    outcomes: tuple[ExitCode, ...]
    left: Leftovers
    neighbours: tuple[tuple[str, int], ...] = ()
    require: KeyRef | Provider | None = None
    elsewhere: tuple[int, tuple[tuple[str, int], ...]] = (0, ())

    @property
    def required(self) -> tuple[ResourceResult, ...]:
        """The resources that are judged."""
        return tuple(resource for resource in self.resources if resource.required)

    @property
    def exit_code(self) -> ExitCode:
        """The worst outcome."""
        return self.outcomes[0] if self.outcomes else ExitCode.OK

    @property
    def decrypted(self) -> bool:
        """Whether an object came out of every encrypted value that is judged and not named as unreadable."""
        judged = self.required
        return any(one.decrypted for one in judged) and not any(one.not_decrypted for one in judged)


def verify(
    source: ValueSource,
    *,
    prefix: str,
    config: EncryptionConfig | None,
    required: tuple[str, ...] = (),
    only: tuple[str, ...] = (),
    require: KeyRef | Provider | None = None,
    expected_counts: Mapping[str, int] | None = None,
    neighbours: Callable[[], tuple[tuple[str, int], ...]] | None = None,
    decrypt: bool = True,
    residue: bool = False,
    deactivated: frozenset[KeyRef] = frozenset(),
    names_limit: int = 10,
) -> VerifyResult:
    """Read every value under `prefix` (kube-apiserver's `--etcd-prefix`) and judge it.

    Judged are the resources that `config` encrypts, `secrets`, and `required`;
    `only` replaces them all. Encrypted values that cannot be read count wherever
    they are (rule R10). `require` names the provider or key that values must be
    under; a key replaces what `config` says of the role. `expected_counts` is
    what the API knows, by resource. `neighbours` is asked when nothing was there.
    Of a source on disk everything behind the live values is counted too; it
    decides with `residue`. `deactivated` are keys that the ledger calls retired.

    Raises what `source` raises, and `UnreachableError` when it delivered fewer
    or more values than it holds.
    """
    census, info, elsewhere = _scan(source, prefix, config, decrypt=decrypt, names_limit=names_limit)
    wanted = frozenset(only) if only else _required(config, census, required)
    resources = judge(census, wanted, require, expected_counts or {})
    found = outcomes(resources, census, asked=frozenset((*only, *required)))
    left = Leftovers(wanted)
    if isinstance(source, FileSource):
        sought = Sought(wanted, bool(only), deactivated, names_limit, decrypt)
        left = look_behind(source, root_of(prefix.encode()), config, sought)
    if residue:
        found = worst_first((*found, *left.outcomes()))
    near = neighbours() if neighbours is not None and ExitCode.EMPTY in found else ()
    return VerifyResult(
        source=info,
        prefix=display(root_of(prefix.encode())),
        configured=config is not None,
        only=only,
        resources=resources,
        problems=census.problems,
        problem_counts=census.problem_counts,
        outcomes=found,
        left=left,
        neighbours=tuple((display(name), count) for name, count in near),
        require=require,
        elsewhere=(elsewhere.total(), tuple((display(name), n) for name, n in elsewhere.most_common(_MOST_ELSEWHERE))),
    )


@anew
def _scan(
    source: ValueSource, prefix: str, config: EncryptionConfig | None, *, decrypt: bool, names_limit: int
) -> tuple[CensusResult, SourceInfo, Counter[bytes]]:
    root, elsewhere = root_of(prefix.encode()), Counter[bytes]()
    # A file costs the same to read whatever is looked for in it, so it can be said what else it holds.
    has_all = isinstance(source, FileSource)
    census = Census(root, config, decrypt=decrypt, names_limit=names_limit)
    delivered = 0
    for batch in source.batches(b"" if has_all else root):
        delivered += len(batch)
        census.add(batch)
        if has_all:
            elsewhere.update(map(paths.first_part, keys_outside(batch, root)))
    info = source.info()
    if delivered != info.count:
        raise UnreachableError(
            f"the answer of {info.location} was truncated",
            cause=f"it delivered {delivered} of {info.count} values under {display(root)}",
            hint="run the same command again",
        )
    info = replace(info, count=delivered - elsewhere.total())
    # What the API servers keep for themselves there is nobody's value.
    del elsewhere[paths.COMPACTION]
    return census.result(), info, elsewhere


def _required(config: EncryptionConfig | None, census: CensusResult, extra: Iterable[str]) -> frozenset[str]:
    required = {effective.SECRETS, *extra}
    if config is None:
        return frozenset(required)
    seen = {group.resource for group in census.groups if not group.infrastructure}
    encrypted = {name for name in seen if not isinstance(effective.writer(config, name), IdentityReader)}
    return frozenset(required | encrypted | set(effective.required_resources(config)))
