"""Whether one configuration may take another's place on several API servers, one after another.

While it does, servers with OLD and with NEW both write, and each must read what the other writes and what is
stored already, under any key that OLD reads. Looks at no stored value: what only a scan could allow is not safe
here. Rules by number: docs/rotation-rules.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from shlex import quote

from keyctl.encryption_config.effective import all_static_keys
from keyctl.encryption_config.fields import RawConfig, RawKms
from keyctl.encryption_config.model import EncryptionConfig, IdentityReader, KmsReader, Reader, StaticReader
from keyctl.encryption_config.views import step_rules as rules
from keyctl.encryption_config.views.resource_view import (
    ResourceView,
    probes,
    reader_in_full,
    reader_name,
    resource_name,
    view,
)
from keyctl.findings import Finding, Location, Rule, Status
from keyctl.keys.key import Key, KeyRef, Provider
from keyctl.keys.shown import shown_name

_AES_BLOCK = 16
# Keys of one name that are told: where every entry has bytes of its own, there is one for each entry.
_MOST_OTHERS = 3


@dataclass(frozen=True, slots=True)
class ResourceChange:
    """One resource under OLD and under NEW."""

    before: ResourceView
    after: ResourceView
    problems: tuple[Problem, ...]

    @property
    def resource(self) -> str:
        """The resource; a wildcard as itself."""
        return self.before.resource

    @property
    def same(self) -> bool:
        """Whether the readers, their order and their bytes are the same."""
        return self.before.readers == self.after.readers

    @property
    def safe(self) -> bool:
        """Whether OLD and NEW may be in force at one time, conditions aside."""
        return not any(problem.rule in rules.UNSAFE for problem in self.problems)

    @property
    def gained(self) -> tuple[Reader, ...]:
        """Readers that only NEW has."""
        return tuple(reader for reader in self.after.distinct if reader not in self.before.readers)

    @property
    def lost(self) -> tuple[Reader, ...]:
        """Readers that only OLD has."""
        return tuple(reader for reader in self.before.distinct if reader not in self.after.readers)

    @property
    def reordered(self) -> bool:
        """Whether readers that stay stand in another order, the one that writes under NEW aside."""
        stay = [one for one in self.before.distinct if one in self.after.readers and one != self.after.writer]
        return stay != [one for one in self.after.distinct if one in stay]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one resource, or must be seen to: a sentence around its name.

    `way` ends with the command that does the same safely; without one the rule's own advice is all there is.
    """

    rule: Rule
    before: str
    after: str
    way: str | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Every resource that OLD or NEW names, `secrets`, and everything else."""

    changes: tuple[ResourceChange, ...]

    @property
    def same(self) -> bool:
        """Whether OLD and NEW mean the same."""
        return all(change.same for change in self.changes)

    @property
    def safe(self) -> bool:
        """Whether NEW may take OLD's place on one server after another, conditions aside."""
        return all(change.safe for change in self.changes)

    def findings(self, location: Location) -> tuple[Finding, ...]:
        """What is not safe, then the conditions; resources with the same problem are told together."""
        together: dict[Problem, list[ResourceChange]] = {}
        for change in self.changes:
            for problem in change.problems:
                together.setdefault(problem, []).append(change)
        return tuple(
            problem.rule.finding(
                f"{problem.before} {', '.join(resource_name(change.resource) for change in changes)}{problem.after}",
                location=location,
                fix=None if problem.way is None else _way_for(problem.way, changes),
                status=_status(problem.rule),
            )
            for problem, changes in sorted(together.items(), key=lambda item: item[0].rule.id)
        )


def compare(old: EncryptionConfig | None, new: EncryptionConfig | None) -> Comparison:
    """What replacing `old` by `new` changes; None is an API server without a configuration."""
    # Each key once, in order.
    known: dict[KeyRef, dict[Key, None]] = {}
    for config in (old, new):
        for key in () if config is None else all_static_keys(config):
            known.setdefault(key.ref, {})[key] = None
    told: dict[tuple[tuple[int, ...], tuple[int, ...]], tuple[Problem, ...]] = {}
    changes = []
    for resource in probes(old, new):
        change = ResourceChange(view(old, resource), view(new, resource), ())
        # Resources of the same entries have the same readers, and so the same problems.
        places = change.before.entries, change.after.entries
        if places not in told:
            told[places] = _problems(change, known)
        changes.append(replace(change, problems=told[places]))
    return Comparison(tuple(changes))


def plugin_settings(old: RawConfig, new: RawConfig, location: Location) -> tuple[Finding, ...]:
    """What changes of the KMS plugins that both files have: another socket fails, timeout and cache size are told.

    `compare` does not see these: two plugins of one name are one to it.
    """
    before, after = _plugins(old), _plugins(new)
    return tuple(
        rule.finding(
            f"{changed} of {reader_name(KmsReader(*ref))} changes [R16]", location=location, status=_status(rule)
        )
        for ref in before
        if ref in after
        for rule, changed in _changed(before[ref], after[ref])
    )


def may_be_mistaken(readers: tuple[Reader, ...], reader: Reader) -> tuple[StaticReader, ...]:
    """The readers before `reader` that may open a value of it, as garbage, and so end the server's search.

    aescbc checks the padding only, which other bytes pass for one value in 256; and a name that goes on with a
    colon and whole cipher blocks makes a value look like one of the shorter name.
    """
    earlier = readers[: readers.index(reader)] if reader in readers else readers
    return tuple(one for one in dict.fromkeys(earlier) if isinstance(one, StaticReader) and _may_take(one, reader))


def _may_take(one: StaticReader, value_of: Reader) -> bool:
    if one == value_of or not isinstance(value_of, StaticReader):
        return False
    if {one.ref.provider, value_of.ref.provider} != {Provider.AESCBC}:
        return False
    head, value = (f"{reader.ref.name}:".encode() for reader in (one, value_of))
    return value.startswith(head) and (len(value) - len(head)) % _AES_BLOCK == 0


def _problems(change: ResourceChange, known: dict[KeyRef, dict[Key, None]]) -> tuple[Problem, ...]:
    if change.same:
        return ()
    renamed = {reader.ref for reader in change.gained if _other_bytes(reader, known)}
    return (
        *_other_bytes_problems(change, known),
        *_writer_problems(change, renamed),
        *_lost_problems(change, renamed),
        *_mistaken_problems(change),
        *_conditions(change),
    )


def _other_bytes(reader: Reader, known: dict[KeyRef, dict[Key, None]]) -> tuple[Key, ...]:
    if not isinstance(reader, StaticReader):
        return ()
    return tuple(islice((key for key in known[reader.ref] if key != reader.key), _MOST_OTHERS))


def _other_bytes_problems(change: ResourceChange, known: dict[KeyRef, dict[Key, None]]) -> Iterator[Problem]:
    for reader in change.gained:
        others = ", ".join(key.fingerprint for key in _other_bytes(reader, known))
        if others:
            yield Problem(
                rules.OTHER_BYTES,
                f"{reader_in_full(reader)} is new for",
                f" and is elsewhere fingerprint {others} [R5]",
            )


def _writer_problems(change: ResourceChange, renamed: set[KeyRef]) -> Iterator[Problem]:
    writer = change.after.writer
    if writer not in change.before.readers and writer.ref not in renamed:
        yield Problem(
            rules.UNREAD_WRITER,
            f"{reader_name(writer)} would write",
            ", and a server that still has OLD does not read it [R2]",
            _way(change),
        )


def _lost_problems(change: ResourceChange, renamed: set[KeyRef]) -> Iterator[Problem]:
    lost = [reader for reader in change.lost if reader.ref not in renamed]
    if lost and change.after.covered_by is None:
        names = " and ".join(reader_name(reader) for reader in lost)
        yield Problem(
            rules.UNCOVERED,
            "nothing covers",
            f" any more: new values would be plaintext, and those under {names} unreadable [R3]",
            _way(change),
        )
        return
    moved = ""
    if change.before.covered_by not in (None, change.after.covered_by):
        moved = f" (covered by {shown_name(change.after.covered_by or '')} now)"
    for reader in lost:
        yield _lost_problem(change, reader, moved)


def _lost_problem(change: ResourceChange, reader: Reader, moved: str) -> Problem:
    name = reader_name(reader)
    if isinstance(reader, KmsReader):
        return Problem(
            rules.PLUGIN_LEAVES, f"{name} is no longer asked for", f"{moved}: only it opens its values [R16]"
        )
    if reader == change.before.writer:
        return Problem(
            rules.WRITER_LEAVES,
            f"{name} is no longer read for",
            f"{moved}, and servers that still have OLD go on writing with it [R1]",
            _way(change),
        )
    rule = rules.PLAINTEXT_LEAVES if isinstance(reader, IdentityReader) else rules.READER_LEAVES
    return Problem(rule, f"{name} is no longer read for", f"{moved}: a value under it would be unreadable [R3]")


def _mistaken_problems(change: ResourceChange) -> Iterator[Problem]:
    before, after = change.before.readers, change.after.readers
    for reader in change.before.distinct:
        if reader in after:
            had = may_be_mistaken(before, reader)
            for other in may_be_mistaken(after, reader):
                if other not in had:
                    yield _mistaken(reader, other, "NEW")
    # NEW has it first, where nothing can come before it; OLD may have it behind another.
    for other in may_be_mistaken(before, change.after.writer) if change.after.writer in before else ():
        yield _mistaken(change.after.writer, other, "OLD")


def _mistaken(reader: Reader, other: StaticReader, file: str) -> Problem:
    return Problem(
        rules.MISTAKEN,
        f"values under {reader_in_full(reader)} of",
        f" may open as garbage under {reader_in_full(other)}, which {file} tries first [R5]",
    )


def _conditions(change: ResourceChange) -> Iterator[Problem]:
    old, new = change.before.writer, change.after.writer
    if old == new:
        return
    if new in change.before.readers:
        yield Problem(
            rules.PROMOTION,
            f"{reader_name(new)} becomes what writes",
            ": every server must have loaded OLD before the first one gets NEW [R2]",
        )
    if isinstance(new, IdentityReader):
        yield Problem(rules.TO_PLAINTEXT, "new values would be plaintext:", "")


def _way(change: ResourceChange) -> str | None:
    """The command that takes this step safely; None where the rule's own advice is all there is."""
    old, new = change.before.writer, change.after.writer
    if isinstance(old, KmsReader) or isinstance(new, KmsReader):
        return None
    if isinstance(new, IdentityReader):
        return "to go back to plaintext, with a proof before the key leaves: keyctl disable"
    if isinstance(old, IdentityReader):
        return "to bring in a key that every server reads before one writes with it: keyctl enable"
    to_provider = "" if old.ref.provider is new.ref.provider else f" --provider {new.ref.provider}"
    return f"to bring in a new key, and take the old one out after a proof: keyctl rotate{to_provider}"


def _way_for(way: str, changes: list[ResourceChange]) -> str:
    """`way`, its command for these resources only, under the names that OLD has for them."""
    named = dict.fromkeys(change.before.covered_by or change.resource for change in changes)
    return way + "".join(f" --resources {quote(shown_name(name))}" for name in named)


def _status(rule: Rule) -> Status:
    return Status.FAIL if rule in rules.UNSAFE else Status.MANUAL


@dataclass(frozen=True, slots=True)
class _Settings:
    endpoint: str
    timeout: str
    cachesize: int | None


def _plugins(raw: RawConfig) -> dict[tuple[str, str], tuple[_Settings, ...]]:
    """The settings of each plugin by name and version; several where a v1 name stands several times."""
    found: dict[tuple[str, str], tuple[_Settings, ...]] = {}
    for entry in raw.entries:
        for kms in (provider.kms for provider in entry.providers if provider.kms is not None):
            ref = (kms.name.text, kms.api_version.text or "v1")
            found[ref] = (*found.get(ref, ()), _settings(kms))
    return found


def _settings(kms: RawKms) -> _Settings:
    # With the server's defaults filled in.
    cachesize = 1000 if kms.cachesize is None and kms.api_version.text in ("", "v1") else kms.cachesize
    return _Settings(kms.endpoint.text, "3s" if kms.timeout is None else kms.timeout.text, cachesize)


def _changed(before: tuple[_Settings, ...], after: tuple[_Settings, ...]) -> Iterator[tuple[Rule, str]]:
    if [one.endpoint for one in before] != [one.endpoint for one in after]:
        yield rules.PLUGIN_SOCKET, "the socket"
    if [one.timeout for one in before] != [one.timeout for one in after]:
        yield rules.PLUGIN_SETTINGS, "the timeout"
    if [one.cachesize for one in before] != [one.cachesize for one in after]:
        yield rules.PLUGIN_SETTINGS, "the cache size"
