"""What several files say of one program, put together: units with variables, etcds with their file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from keyctl.audit.facts import About, Fact, Program, Setting
from keyctl.audit.sources.flags import ETCD_PREFIX, environment_settings, flag_settings
from keyctl.audit.sources.fragments import Unit, Variables
from keyctl.findings import Location

_ABOUT = {"kube-apiserver": About.API_SERVER, "etcd": About.ETCD}
_WHOLE_WORD = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


def link(found: Iterable[Fact | Unit | Variables]) -> tuple[Fact, ...]:
    """Every fact once. What was looked for and is not there makes a program's other settings not known."""
    everything = tuple(found)
    files = {one.path: one for one in everything if isinstance(one, Variables)}
    used: set[str] = set()
    facts: list[Fact] = []
    for one in everything:
        if isinstance(one, Unit):
            facts.append(_unit(one, files, used))
        elif not isinstance(one, Variables):
            facts.append(one)
    # A file of etcd's variables that no unit reads is one that a unit elsewhere reads.
    facts += [_alone(one) for one in files.values() if one.path not in used and _is_etcds(one)]
    return tuple(_with_config_files(facts))


def _unit(unit: Unit, files: dict[str, Variables], used: set[str]) -> Program:
    variables = list(unit.variables)
    missing = ""
    for wanted in unit.files:
        file = next((one for path, one in files.items() if _is_same(path, wanted)), None)
        if file is None:
            missing = f"it reads {wanted}, which was not given"
            continue
        used.add(file.path)
        variables += file.given
    words = tuple(_expanded(unit.words, {name: (value, place) for name, value, place in variables}))
    settings = tuple(flag_settings(words))
    if unit.program == "etcd":
        settings = (*environment_settings(variables), *settings)
    if not missing and any(_WHOLE_WORD.fullmatch(word) for word, _ in words):
        missing = "some of its words are variables that were not given"
    return Program(_ABOUT.get(unit.program, About.PROGRAM), unit.program, unit.location, settings, hidden=missing)


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


def _alone(file: Variables) -> Program:
    settings = tuple(environment_settings(file.given))
    return Program(About.ETCD, "etcd", Location(file.path), settings, hidden="its flags were not given")


def _is_etcds(file: Variables) -> bool:
    return any(name.startswith(ETCD_PREFIX) for name, _, _ in file.given)


def _with_config_files(facts: list[Fact]) -> Iterator[Fact]:
    programs = [one for one in facts if isinstance(one, Program) and one.about is About.ETCD]
    own = {one.location.file: one for one in programs if not _config_file(one)}
    versions: dict[str, str] = {}
    dropped: set[int] = set()
    for one in programs:
        wanted = _config_file(one)
        holder = next((path for path in own if wanted and path and _is_same(path, wanted.value)), None)
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


def _is_same(path: str, wanted: str) -> bool:
    """Whether the file `path` of what was given is the file `wanted` of a host: itself, or a copy of its tree."""
    wanted = wanted.strip()
    return bool(wanted) and (path == wanted or (wanted.startswith("/") and f"/{path}".endswith(wanted)))
