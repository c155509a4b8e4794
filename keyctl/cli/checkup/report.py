"""The outcome of an examination as a screen and as data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from keyctl.cli.checkup.examine import Examination, findings_of
from keyctl.cli.checkup.item import Area, Item, exit_code_of
from keyctl.errors import ExitCode
from keyctl.findings import Report
from keyctl.keys.shown import shown_ref
from keyctl.reports import checklist
from keyctl.reports.checklist import Line, Mark, Section
from keyctl.rotation.diagnosis.facts import ValueGroup
from keyctl.rotation.diagnosis.readability import in_use


def to_report(found: Examination) -> Report:
    """Everything as a `Report`; `data` has each check by the area it stands in."""
    seen = found.seen
    return Report(
        kind="DoctorReport",
        exit_code=exit_code_of(found.items),
        verdict=_verdict(found),
        findings=findings_of(found.items),
        data={
            "cluster": seen.facts.cluster,
            "source": seen.subject.origin,
            "revision": seen.facts.revision or None,
            "checks": [_check(item) for item in found.items],
            "servers": [_server(found, name) for name in (server.name for server in seen.facts.servers)],
            "values": None if seen.facts.values is None else [_group(group) for group in seen.facts.values],
            "lost": found.diagnosis.lost,
            "tool": found.diagnosis.tool.name if found.diagnosis.tool else None,
            "steps": list(found.steps),
        },
        next_steps=found.steps,
    )


def sections(found: Examination) -> tuple[Section, ...]:
    """The checks by area, in the order of the screen, each under what it is about."""
    return tuple(
        Section(area, tuple(_lines(item.line for item in found.items if item.area is area)))
        for area in Area
        if any(item.area is area for item in found.items)
    )


def closing(found: Examination, width: int | None = None) -> str:
    """The verdict and the steps, as lines, folded where a width is given."""
    lines = (_verdict(found), *(f"next: {step}" for step in found.steps))
    return "\n".join(checklist.folded(line, width, "      ") for line in lines)


def _lines(lines: Iterable[Line]) -> Iterator[Line]:
    """`lines`, but what is right of one thing on one of them, where the first of it stood."""
    given = tuple(lines)
    right: dict[str, list[str]] = {}
    for line in given:
        if line.mark is Mark.OK:
            right.setdefault(line.label, []).append(line.text)
    for line in given:
        if line.mark is not Mark.OK:
            yield line
        elif line.label in right:
            yield replace(line, text="; ".join(right.pop(line.label)))


def _verdict(found: Examination) -> str:
    code = exit_code_of(found.items)
    lines = [item.line for item in found.items]
    match code:
        case ExitCode.OK:
            warned = any(line.mark is Mark.WARNING for line in lines)
            how = (
                "nothing that stops a rotation or endangers a value"
                if warned
                else "everything that was looked at is right"
            )
        case ExitCode.UNREACHABLE:
            how = "not everything could be looked at"
        case _:
            lost = found.diagnosis.lost
            how = f"something is wrong; {f'{lost} values open with no key at hand' if lost else 'nothing is lost'}"
            if found.seen.facts.values is None:
                how = "something is wrong; whether anything is lost is not known"
    return how


def _check(item: Item) -> dict[str, object]:
    return {
        "area": str(item.area),
        "label": item.label,
        "outcome": str(item.mark),
        "id": item.finding.id,
        "message": item.finding.message,
        "fix": None if item.mark is Mark.OK else item.finding.fix,
    }


def _server(found: Examination, name: str) -> dict[str, object]:
    facts = found.seen.facts
    server = next(one for one in facts.servers if one.name == name)
    used = in_use(server, facts.texts)
    return {
        "name": name,
        "version": server.version or None,
        "ready": server.ready,
        "file": {"path": server.path, "hash": server.file.sha256 if server.file else None},
        "flag": server.flag,
        "loaded": {"hash": server.loaded_hash, "by": server.loaded_by or None, "known": used.config is not None},
        "cannotRead": _count(one.groups for one in found.diagnosis.unread if one.server == name and not one.later),
        "cannotReadAfterStart": _count(
            one.groups for one in found.diagnosis.unread if one.server == name and one.later
        ),
    }


def _count(groups: Iterable[tuple[ValueGroup, ...]]) -> int:
    return sum(group.values for some in groups for group in some)


def _group(group: ValueGroup) -> dict[str, object]:
    known = group.opened
    return {
        "resource": group.resource,
        "key": shown_ref(group.ref) if group.ref else None,
        "values": group.values,
        "lost": group.lost,
        "openedBy": None if known is None else {"fingerprint": known.key.fingerprint, "from": known.origin},
        "first": list(group.first),
    }
