"""What a census means: which values are plaintext, stale, unreadable, missing, and what that adds up to. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from keyctl.errors import ExitCode
from keyctl.keys.key import KeyRef, Provider
from keyctl.stored.census import CensusResult
from keyctl.stored.decrypt import Reason
from keyctl.stored.groups import Group, Role

# Worst first; the first that applies is the exit code.
_PRECEDENCE = (
    ExitCode.PLAINTEXT,
    ExitCode.UNREADABLE,
    ExitCode.STALE,
    ExitCode.RESIDUE,
    ExitCode.INCOMPLETE,
    ExitCode.EMPTY,
)


@dataclass(frozen=True, slots=True)
class Stored:
    """A group of values and whether it stands under another key than it should."""

    group: Group
    stale: bool

    @property
    def state(self) -> str:
        """The worst there is to say: unrecognised, plaintext, unreadable, stale, unknown or ok."""
        group = self.group
        if group.provider is None:
            return "unrecognised"
        if group.encoding is not None:
            return "plaintext"
        if group.failed:
            return "unreadable"
        if self.stale:
            return "stale"
        return "ok" if group.decrypted == group.values else "unknown"


@dataclass(frozen=True, slots=True)
class ResourceResult:
    """The values of one resource. `expected` is the number that the API knows, None when it was not asked.

    `stale`, `unreadable`, `plaintext` and `unrecognised` do not overlap.
    """

    resource: str
    required: bool
    stored: tuple[Stored, ...]
    expected: int | None = None

    @property
    def values(self) -> int:
        """All values."""
        return sum(one.group.values for one in self.stored)

    @property
    def plaintext(self) -> int:
        """Objects that anybody can read who can read etcd."""
        return sum(one.group.values - one.group.failed for one in self.stored if one.group.encoding is not None)

    @property
    def unrecognised(self) -> int:
        """Values that are neither objects nor under a known envelope."""
        return sum(
            one.group.values if one.group.provider is None else one.group.failed
            for one in self.stored
            if not is_encrypted(one.group)
        )

    @property
    def encrypted(self) -> int:
        """Values under a known envelope."""
        return sum(one.group.values for one in self.stored if is_encrypted(one.group))

    @property
    def unreadable(self) -> int:
        """Encrypted values that the configuration does not open."""
        return sum(one.group.failed for one in self.stored if is_encrypted(one.group))

    @property
    def stale(self) -> int:
        """Readable values under another key than they should be."""
        return sum(one.group.values - one.group.failed for one in self.stored if one.stale)

    @property
    def decrypted(self) -> int:
        """Encrypted values of which an object came out."""
        return sum(one.group.decrypted for one in self.stored)

    @property
    def not_decrypted(self) -> int:
        """Encrypted values that were recognised by their head only."""
        return sum(one.group.not_decrypted for one in self.stored)

    @property
    def missing(self) -> int:
        """How many values the API knows more than are stored."""
        return max(0, (self.expected or 0) - self.values)


def judge(
    census: CensusResult, required: frozenset[str], require: KeyRef | Provider | None, expected: Mapping[str, int]
) -> tuple[ResourceResult, ...]:
    """Every resource that was seen or is `required`, required ones first.

    `require` names the provider or key that values must be under; a key replaces
    the role that the configuration gives. `expected` is what the API knows, by resource.
    """
    groups: dict[str, list[Group]] = {name: [] for name in required}
    for group in census.groups:
        groups.setdefault(group.resource, []).append(group)
    return tuple(
        ResourceResult(
            name,
            name in required,
            tuple(Stored(group, _is_stale(group, require)) for group in groups[name]),
            expected.get(name),
        )
        for name in sorted(groups, key=lambda name: (name not in required, name))
    )


def _is_stale(group: Group, require: KeyRef | Provider | None) -> bool:
    if not is_encrypted(group):
        return False
    if isinstance(require, KeyRef):
        return group.ref != require
    if require is not None and group.provider is not require:
        return True
    return group.role is Role.READ


def outcomes(
    resources: tuple[ResourceResult, ...], census: CensusResult, *, asked: frozenset[str] = frozenset()
) -> tuple[ExitCode, ...]:
    """What has to be said of `resources`, worst first; nothing when all is right.

    Each resource of `asked`, which the user named, must be there, or the API must know of none.
    """
    judged = [resource for resource in resources if resource.required]
    # NOTE: a server that is restarted with one encrypted value it cannot read never comes up, whatever its resource.
    unreadable = sum(resource.unreadable for resource in resources) + sum(
        count for (_, reason), count in census.problem_counts.items() if reason is Reason.UNKNOWN_SEAL
    )
    applies = {
        ExitCode.PLAINTEXT: any(resource.plaintext for resource in judged),
        ExitCode.UNREADABLE: unreadable > 0 or any(one.unrecognised or one.missing for one in judged),
        ExitCode.STALE: any(resource.stale for resource in judged),
        ExitCode.EMPTY: not any(resource.values for resource in judged)
        or any(one.resource in asked and not one.values and one.expected is None for one in judged),
    }
    return worst_first(code for code, applied in applies.items() if applied)


def precedence(code: ExitCode) -> int:
    """The place of `code` among the outcomes: the worst has 0, and none of them comes last."""
    return _PRECEDENCE.index(code) if code in _PRECEDENCE else len(_PRECEDENCE)


def worst_first(codes: Iterable[ExitCode]) -> tuple[ExitCode, ...]:
    """`codes` in the order in which they decide."""
    return tuple(sorted(codes, key=_PRECEDENCE.index))


def is_encrypted(group: Group) -> bool:
    """Whether the values of `group` stand under a known envelope."""
    return group.provider is not None and group.encoding is None
