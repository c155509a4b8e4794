"""What lies behind the live values of a file: its history, freed pages, WAL and old files, judged. Reads no file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from keyctl.encryption_config.model import EncryptionConfig
from keyctl.errors import ExitCode
from keyctl.keys.key import KeyRef
from keyctl.stored.leftovers import LeftGroup, LeftoverCensus, may_be
from keyctl.stored.source import OTHER_THAN_SECRETS, PERHAPS_SECRETS, SECRETS, Area, Coverage, FileSource, Remark

# Where a live etcd cannot be looked into.
LIVE_COVERAGE: Mapping[Area, Coverage] = {
    Area.LIVE: Coverage.SCANNED,
    Area.HISTORY: Coverage.NOT_SCANNED,
    Area.FREE_PAGES: Coverage.ABSENT,
    Area.WAL: Coverage.ABSENT,
    Area.SNAP_DIR: Coverage.ABSENT,
}


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What is left beside the live values. `required` are the resources of which plaintext is wrong, `only` those.

    `groups` are all that were found; `coverage` says which areas were looked at, `remarks` what else there is to know.
    `elsewhere` lie under other prefixes: (number, the first parts of most of them).
    """

    required: frozenset[str]
    only: bool = False
    groups: tuple[LeftGroup, ...] = ()
    coverage: Mapping[Area, Coverage] = field(default_factory=lambda: LIVE_COVERAGE)
    remarks: tuple[Remark, ...] = ()
    elsewhere: tuple[int, tuple[str, ...]] = (0, ())

    @property
    def wrong(self) -> tuple[LeftGroup, ...]:
        """Plaintext of required resources, or of what is cut before its name; and values under retired keys.

        With `only` they count where they may be of these resources.
        """
        return tuple(one for one in self.groups if self._is_retired(one) or self.is_plaintext(one))

    def _is_retired(self, group: LeftGroup) -> bool:
        return group.retired and (not self.only or any(may_be(group.resource, one) for one in self.required))

    def is_plaintext(self, group: LeftGroup) -> bool:
        """Whether `group` is plaintext that should not be.

        Beside what is required, what the configuration encrypts by a wildcard: a resource of which nothing is live
        any more is required by nobody. With `only` nothing else counts.
        """
        if group.ref is not None or group.resource in (OTHER_THAN_SECRETS, PERHAPS_SECRETS):
            return False
        named = any(may_be(group.resource, one) for one in self.required)
        return named or (group.encrypted and not self.only)

    def is_doubtful(self, group: LeftGroup) -> bool:
        """Whether `group` are ends of plaintext values that may be of a required resource: any, or all but Secrets."""
        if group.resource == PERHAPS_SECRETS:
            return bool(self.required)
        if group.resource != OTHER_THAN_SECRETS:
            return False
        return bool(self.required - {SECRETS}) or (group.encrypted and not self.only)

    def of(self, *areas: Area) -> tuple[LeftGroup, ...]:
        """The groups of `areas`."""
        return tuple(one for one in self.groups if one.area in areas)

    @property
    def not_looked_at(self) -> tuple[Area, ...]:
        """Areas that are there and could not be looked at to their end, or whose absence nobody showed."""
        doubtful = {group.area for group in self.groups if self.is_doubtful(group)}
        missed = {area for area in Area if self.coverage.get(area, Coverage.NOT_SCANNED) is Coverage.NOT_SCANNED}
        return tuple(area for area in Area if area in doubtful | missed)

    def outcomes(self) -> tuple[ExitCode, ...]:
        """What they add to the verdict, worst first."""
        found = ((ExitCode.RESIDUE, bool(self.wrong)), (ExitCode.INCOMPLETE, bool(self.not_looked_at)))
        return tuple(code for code, applies in found if applies)


@dataclass(frozen=True, slots=True)
class Sought:
    """What to look for: plaintext of `required`, with `only` of nothing else; and `deactivated`, retired keys.

    With `decrypt` whole values are opened, which tells a retired key from a current one of its name. At most
    `names_limit` names a group are kept.
    """

    required: frozenset[str]
    only: bool = False
    deactivated: frozenset[KeyRef] = frozenset()
    names_limit: int = 10
    decrypt: bool = True


def look_behind(source: FileSource, root: bytes, config: EncryptionConfig | None, sought: Sought) -> Leftovers:
    """Everything in `source` that is not live, judged where it lies under `root`. Raises what `source` raises."""
    census = LeftoverCensus(
        root, config, deactivated=sought.deactivated, decrypt=sought.decrypt, names_limit=sought.names_limit
    )
    for values in source.history(b""):
        census.add_history(values)
    for fragments in source.fragments():
        census.add_fragments(fragments)
    return Leftovers(
        sought.required, sought.only, census.result(), source.coverage(), tuple(source.remarks()), census.elsewhere()
    )
