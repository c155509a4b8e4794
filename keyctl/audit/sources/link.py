"""What several files say of one program, put together: units with variables, etcds with their file."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from keyctl.audit.facts import About, AuditPolicy, Configuration, Fact, Placed, Program, Setting, Unread
from keyctl.audit.sources import rancher
from keyctl.audit.sources.flags import ETCD_PREFIX, environment_settings, flag_settings
from keyctl.audit.sources.fragments import Fragment, ServerFile, Unit, Variables
from keyctl.audit.sources.near import is_called_alike, is_same, nearest
from keyctl.audit.sources.systemd import start_of
from keyctl.findings import Evidence, Location

_ABOUT = {"kube-apiserver": About.API_SERVER, "etcd": About.ETCD}
# The files that kube-apiserver is told of, and what stands in them.
_READ = {"encryption-provider-config": About.CONFIGURATION, "audit-policy-file": About.AUDIT_POLICY}
_HOLDS: dict[About, type[Configuration] | type[AuditPolicy]] = {
    About.CONFIGURATION: Configuration,
    About.AUDIT_POLICY: AuditPolicy,
}
Given = tuple[tuple[str, str, Location], ...]
_WHOLE_WORD = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


def link(found: Iterable[Fact | Fragment]) -> tuple[Fact, ...]:
    """Every fact once. What was looked for and is not there makes a program's other settings not known."""
    everything = tuple(found)
    files = tuple(one for one in everything if isinstance(one, Variables))
    units = tuple(one for one in everything if isinstance(one, Unit))
    used: set[int] = set()
    facts: list[Fact] = []
    for one in everything:
        if isinstance(one, Unit):
            facts += _unit(one, units, files, used)
        elif not isinstance(one, Variables | ServerFile):
            facts.append(one)
    facts += rancher.join(one for one in everything if isinstance(one, ServerFile))
    # A file of etcd's variables that no unit reads is one that a unit elsewhere reads.
    facts += [_alone(one.given, one.location) for one in files if id(one) not in used and _is_etcds(one.given)]
    facts = list(_with_config_files(facts))
    return (*facts, *not_given(facts, facts))


def _unit(unit: Unit, units: tuple[Unit, ...], files: tuple[Variables, ...], used: set[int]) -> Iterator[Program]:
    """The program of a unit with its drop-ins; of a drop-in by itself only where its unit was not given."""
    if unit.adds_to:
        if not _bases(unit, units):
            yield from _program(unit, (unit,), "the unit that it adds to was not given", files, used)
        return
    name = posixpath.basename(unit.path)
    added = [one for one in units if one.adds_to == name and unit in _bases(one, units)]
    several = any(len(_bases(one, units)) > 1 for one in added)
    hidden = "which drop-ins are its own is not known" if several else ""
    ordered = sorted(added, key=lambda one: posixpath.basename(one.path))
    for one in _program(unit, (unit, *ordered), hidden, files, used):
        # Any of its own lines may be changed by a drop-in of which it is not known whether it is its own.
        yield replace(one, settings=()) if several else one


def _bases(drop_in: Unit, units: tuple[Unit, ...]) -> tuple[Unit, ...]:
    named = (one for one in units if not one.adds_to and posixpath.basename(one.path) == drop_in.adds_to)
    return nearest(drop_in.path, named, lambda one: one.path)


def _program(
    unit: Unit, parts: tuple[Unit, ...], hidden: str, files: tuple[Variables, ...], used: set[int]
) -> Iterator[Program]:
    start = start_of(parts)
    if start is None:
        if unit.adds_to == "etcd.service":
            yield Program(About.ETCD, "etcd", unit.location, (), hidden="its unit was not given")
        return
    missing = hidden or start.doubt
    variables = list(start.variables)
    for wanted in start.files:
        named = (one for one in files if is_same(one.path, wanted))
        near = nearest(unit.location.file or "", named, lambda one: one.location.file or "")
        used.update(id(one) for one in near)
        if len(near) == 1:
            variables += near[0].given
        else:
            # It goes before what was given until here.
            variables = [(name, f"${{{name}}}", place) for name, _, place in variables]
            missing = f"which file {wanted} is, is not known" if near else f"it reads {wanted}, which was not given"
    words = tuple(_expanded(start.words, {name: (value, place) for name, value, place in variables}))
    settings = tuple(flag_settings(words, etcds=start.program == "etcd"))
    if start.program == "etcd":
        settings = (*environment_settings(variables), *settings)
    if not missing and any(_WHOLE_WORD.fullmatch(word) for word, _ in words):
        missing = "some of its words are variables that were not given"
    yield Program(_ABOUT.get(start.program, About.PROGRAM), start.program, start.location, settings, hidden=missing)


def _expanded(
    words: tuple[tuple[str, Location], ...], known: dict[str, tuple[str, Location]]
) -> Iterator[tuple[str, Location]]:
    for word, place in words:
        whole = _WHOLE_WORD.fullmatch(word)
        name = (whole[1] or whole[2]) if whole else None
        if name in known:
            value, where = known[name]
            yield from ((part, where) for part in value.split())
        else:
            yield _WHOLE_WORD.sub(lambda match: known.get(match[1] or match[2], (match[0],))[0], word), place


def _alone(given: Given, location: Location) -> Program:
    return Program(About.ETCD, "etcd", location, tuple(environment_settings(given)), hidden="its flags were not given")


def _is_etcds(given: Given) -> bool:
    return any(name.startswith(ETCD_PREFIX) for name, _, _ in given)


def not_given(programs: Iterable[Placed], found: Sequence[Placed]) -> Iterator[Unread]:
    """The files that an API server among `programs` is told to read and that are not `found`: not known."""
    for program in programs:
        if not isinstance(program, Program) or program.about is not About.API_SERVER:
            continue
        for name, about in _READ.items():
            told = next((one for one in reversed(program.settings) if one.name == name), None)
            # What an installer sets by itself it also writes by itself.
            if told is None or told.evidence is Evidence.E0 or not told.value or told.value.startswith("--"):
                continue
            if not any(is_called_alike(one, told.value) for one in _names(found, about)):
                reason = f"{told.written} names a file that was not given"
                yield Unread(reason, frozenset({about}), told.location)


def _names(found: Sequence[Placed], about: About) -> Iterator[str]:
    for one in found:
        if isinstance(one, _HOLDS[about]):
            yield one.inner or one.location.file or ""
        elif isinstance(one, Unread) and about in one.about:
            yield one.location.file or ""


def _with_config_files(facts: list[Fact]) -> Iterator[Fact]:
    programs = [one for one in facts if isinstance(one, Program) and one.about is About.ETCD]
    own = {one.location.file: one for one in programs if not _config_file(one)}
    versions: dict[str, str] = {}
    dropped: set[int] = set()
    for one in programs:
        wanted = _config_file(one)
        same = (path for path in own if wanted and path and is_same(path, wanted.value))
        near = nearest(one.location.file or "", same, str)
        holder = near[0] if len(near) == 1 else None
        if holder is not None and not _misplaced(one):
            versions[holder] = one.version
            dropped.add(id(one))
    for fact in facts:
        if not isinstance(fact, Program) or fact.about is not About.ETCD:
            yield fact
        elif id(fact) in dropped:
            continue
        elif wanted := _config_file(fact):
            hidden = f"it reads {wanted.value} and looks at nothing else, and that file was not given"
            yield replace(fact, settings=_misplaced(fact), hidden=hidden)
        else:
            yield replace(fact, version=fact.version or versions.get(fact.location.file or "", ""))


def _config_file(program: Program) -> Setting | None:
    return next((one for one in reversed(program.settings) if one.name == "config-file" and one.value), None)


def _misplaced(program: Program) -> tuple[Setting, ...]:
    """Flags that end etcd before it looks at any file."""
    return tuple(one for one in program.settings if "encryption-provider-config" in one.name)
