"""A restore test in words and as JSON-ready values. Decides nothing but the exit code; has no key bytes."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from keyctl.backup import rules
from keyctl.backup.key_needs import KeyNeed, plugin_needs
from keyctl.backup.manifest import key_fields
from keyctl.backup.needed_config import NeededEntry
from keyctl.backup.restore_test import RestoreTest, Served
from keyctl.errors import ExitCode
from keyctl.findings import Evidence, Finding, Location, Report, Status, Table
from keyctl.keys.key import Provider
from keyctl.keys.shown import shown_name, shown_ref
from keyctl.stored import rules as stored_rules
from keyctl.stored.decrypt import Reason
from keyctl.stored.display import display


def to_report(found: RestoreTest, notes: tuple[str, ...] = ()) -> Report:
    """`found` for a reader and for machines (the `RestoreTestReport` of `keyctl/v1`); `notes` come last."""
    return Report(
        kind="RestoreTestReport",
        exit_code=exit_code(found),
        verdict=_verdict(found),
        findings=tuple(_findings(found)),
        data=_data(found),
        tables=tuple(_tables(found)),
        notes=(*_notes(found), *notes),
        next_steps=tuple(_next_steps(found)),
    )


def exit_code(found: RestoreTest) -> ExitCode:
    """Nothing there, something that does not come back, something that nobody could try, or all of it right."""
    if not found.contents.live.values:
        return ExitCode.EMPTY
    if found.unopened or _lost(found):
        return ExitCode.UNREADABLE
    return ExitCode.INCOMPLETE if found.plugin else ExitCode.OK


def _lost(found: RestoreTest) -> tuple[Served, ...]:
    return () if found.trialled is None else tuple(one for one in found.trialled.served if not one.good)


def _verdict(found: RestoreTest) -> str:
    live = found.contents.live.values
    if not live:
        return f"nothing stands under {display(found.prefix)}"
    said = f"whole; {live} values at revision {found.contents.info.revision}, {found.encrypted} of them encrypted"
    if found.unopened:
        return f"{said}; {found.unopened} do NOT open with any key at hand"
    if lost := _lost(found):
        return f"{said}, every one opens; an API server does NOT give back {', '.join(one.resource for one in lost)}"
    if found.plugin:
        return f"{said}; {found.plugin} open with their KMS plugin only"
    if found.trialled is not None:
        return f"{said}; every one opens, and kube-apiserver {found.trialled.version} served them all"
    return f"{said}; every one opens" if found.encrypted else said


def _findings(found: RestoreTest) -> Iterator[Finding]:
    where = Location(file=display(str(found.path)))
    yield from found.checked.findings
    if not found.contents.live.values:
        heads = ", ".join(f"{head} ({count})" for head, count in found.contents.others)
        said = f"no value stands under {display(found.prefix)}; outside of it: {heads or 'nothing'}"
        yield stored_rules.EMPTY.finding(said, location=where, evidence=Evidence.E3)
    if found.unopened:
        lost = [need.ref for need in found.keys if need.values > need.opened]
        names = ", ".join(shown_ref(ref) for ref in lost if ref.provider is not Provider.KMS)
        strange = (one for one in found.contents.live.problems if one.reason is not Reason.UNKNOWN_KEY)
        firsts = [f"the first is {one.etcd_key}: {one.detail}" for one in strange][:1]
        they = (f"they name {names}",) if names else firsts
        said = "; ".join((f"{found.unopened} values do not open with any key at hand", *they))
        yield rules.KEYS_LOST.finding(said, location=where, evidence=Evidence.E3)
    for one in _lost(found):
        why = one.problem or f"it listed {one.listed} objects"
        said = f"{display(one.resource)}: {one.stored} values are stored; {why}"
        yield rules.NOT_SERVED.finding(said, location=where, evidence=Evidence.E3)
    if found.plugin:
        names = ", ".join(_named(need) for need in plugin_needs(found.keys))
        said = f"{found.plugin} values open with their KMS plugin only: {names}"
        yield rules.NOT_TRIED.finding(said, status=Status.UNKNOWN, location=where)


def _tables(found: RestoreTest) -> Iterator[Table]:
    if found.keys:
        rows = tuple(
            (
                str(need.ref.provider),
                _named(need),
                need.fingerprint or "?",
                str(need.values),
                str(need.opened),
            )
            for need in found.keys
        )
        yield Table(
            ("PROVIDER", "KEY", "FINGERPRINT", "VALUES", "OPENED"), rows, frozenset({3, 4}), title="keys it needs"
        )
    if found.trialled is not None:
        served = tuple(
            (display(one.resource), str(one.stored), str(one.listed), "ok" if one.good else one.problem or "fewer")
            for one in found.trialled.served
        )
        yield Table(("RESOURCE", "STORED", "LISTED", "STATE"), served, frozenset({1, 2}), title="served")


def _named(need: KeyNeed) -> str:
    """The name of a key; of a plugin also what it called its own key."""
    return shown_name(need.ref.name) + (f" (key id {display(need.key_id)})" if need.key_id else "")


def _notes(found: RestoreTest) -> Iterator[str]:
    if found.entries:
        yield "a restored API server needs this configuration (--write-config FILE writes it with the keys, 0600):"
        yield from (f"  {line}" for line in found.shown().splitlines())
    if found.untried:
        yield f"no API server was asked: {found.untried}"


def _next_steps(found: RestoreTest) -> Iterator[str]:
    if found.unopened:
        file = shlex.quote(str(found.path))
        yield f"keyctl snapshot inspect {file}    shows which resources the values are of"


def _data(found: RestoreTest) -> dict[str, object]:
    trialled = found.trialled
    return {
        "file": str(found.path),
        "sha256": found.checked.sha256 or None,
        "integrity": found.checked.integrity,
        "revision": found.contents.info.revision,
        "values": found.contents.live.values,
        "encrypted": found.encrypted,
        "unopened": found.unopened,
        "kmsOnly": found.plugin,
        "proof": None if found.proof is None else str(found.proof),
        "keys": [key_fields(need) for need in found.keys],
        "configuration": [_entry(entry) for entry in found.entries],
        "server": None
        if trialled is None
        else {
            "version": trialled.version,
            "resources": [
                {"resource": one.resource, "stored": one.stored, "listed": one.listed, "problem": one.problem or None}
                for one in trialled.served
            ],
        },
        "notTried": found.untried or None,
    }


def _entry(entry: NeededEntry) -> dict[str, object]:
    return {
        "resources": list(entry.resources),
        "providers": [
            *({"provider": str(one.ref.provider), "name": one.ref.name} for one in entry.readers),
            *([{"provider": "identity"}] if entry.plain else []),
        ],
    }
