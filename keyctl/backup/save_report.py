"""Snapshots that were saved, in words and as JSON-ready values. Decides nothing but the exit code."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from keyctl.backup import keep_report, rules
from keyctl.backup.manifest import Manifest, to_document
from keyctl.backup.save import Saved
from keyctl.backup.save_all import Failed, Outcome, command
from keyctl.backup.shelf import Rotation
from keyctl.errors import ExitCode
from keyctl.findings import Evidence, Finding, Gauge, Location, Report, Status, Table
from keyctl.stored import rules as stored_rules
from keyctl.stored.display import display


def to_report(
    outcome: Outcome,
    notes: tuple[str, ...] = (),
    flags: Sequence[str] = (),
    rotations: Sequence[Rotation] = (),
    gauges: tuple[Gauge, ...] = (),
) -> Report:
    """`outcome` for a reader and for machines (the `SnapshotSaveReport` of `keyctl/v1`); `notes` come first.

    Its own fields are those of the first snapshot; `snapshots` has all of them. `flags` are repeated in the commands
    that go on from here. `rotations` are what a policy did then; `gauges` are added to those of this run.
    """
    saved, failed = outcome.saved, outcome.failed
    several = len(saved) + len(failed) > 1
    return Report(
        kind="SnapshotSaveReport",
        exit_code=ExitCode.STOPPED if any(one.failed for one in rotations) else exit_code(outcome),
        verdict="; ".join(
            (
                *(_verdict(one) for one in saved),
                *(f"{one.name} was NOT saved" for one in failed),
                *(_rotated(one) for one in rotations),
            )
        ),
        findings=(*(_not_saved(one, flags) for one in failed), *_findings(outcome), *keep_report.findings(rotations)),
        data={
            **_data(saved[0]),
            "snapshots": [_data(one) for one in saved],
            "notSaved": [{"etcd": one.name, "file": str(one.path), "error": str(one.error)} for one in failed],
            "keep": [keep_report.data(one) for one in rotations],
        },
        tables=(
            *(table for one in saved for table in _tables(one.manifest, several=several)),
            *keep_report.tables(rotations),
        ),
        notes=(*notes, *(note for one in saved for note in _notes(one)), *keep_report.said(rotations)),
        next_steps=tuple(_next_steps(outcome, flags)),
        gauges=(*_gauges(saved, rotations), *gauges),
    )


def exit_code(outcome: Outcome) -> ExitCode:
    """Not all saved, something that nobody can open, nothing there, not every key known, or all of it right."""
    if outcome.failed:
        return ExitCode.STOPPED
    if any(one.unread for one in outcome.saved):
        return ExitCode.UNREADABLE
    # NOTE: an etcd for events may well be empty; the one that is named first must not.
    if not outcome.saved[0].manifest.values:
        return ExitCode.EMPTY
    return ExitCode.INCOMPLETE if any(one.manifest.incomplete for one in outcome.saved) else ExitCode.OK


def _gauges(saved: Sequence[Saved], rotations: Sequence[Rotation]) -> Iterator[Gauge]:
    sizes = tuple(({"etcd": one.manifest.name}, float(_size(one.manifest))) for one in saved)
    yield Gauge("backup_size_bytes", "How large the file is that this run saved.", sizes, "bytes")
    if rotations:
        yield keep_report.of_rotations(rotations)


def _size(made: Manifest) -> int:
    return made.encryption.size if made.encryption else made.size


def _rotated(rotation: Rotation) -> str:
    failed = f"; {len(rotation.failed)} could NOT be deleted" if rotation.failed else ""
    return f"{len(rotation.kept)} kept and {len(rotation.deleted)} deleted by the policy{failed}"


def _next_steps(outcome: Outcome, flags: Sequence[str]) -> Iterator[str]:
    for one in outcome.failed:
        yield f"{command(one.path, one.name, flags)}    saves what is missing"
    files = shlex.join(str(one.path) for one in outcome.saved)
    yield f"keyctl snapshot verify {files}    wherever they are copied to, with their manifests"


def _data(saved: Saved) -> dict[str, object]:
    made = saved.manifest
    return {
        "etcd": made.name,
        "file": str(saved.path),
        "manifestFile": str(saved.manifest_path),
        "registeredIn": saved.registered,
        "unread": saved.unread if made.config_known else None,
        "plaintext": saved.plaintext,
        "manifest": to_document(made),
    }


def _verdict(saved: Saved) -> str:
    plain = f"; {saved.plaintext} of them in plaintext that must be encrypted" if saved.plaintext else ""
    return _said(saved) + plain


def _said(saved: Saved) -> str:
    made = saved.manifest
    values = f"{made.values} values under {display(made.prefix)} at revision {made.revision}"
    count = len(made.encryption.recipients) if made.encryption else 0
    sealed = f", encrypted to {count} {'recipient' if count == 1 else 'recipients'}" if count else ""
    said = f"saved {display(str(saved.path))}: {_size(made) / 1e6:.1f} MB{sealed}, {values}"
    if saved.unread:
        what = "the configurations that could be read do" if made.unread else "the configuration in force does"
        return f"{said}; {what} not open {saved.unread} of them"
    if not made.values:
        return f"{said}; nothing stands under {display(made.prefix)}"
    if made.incomplete:
        return f"{said}; SHA-256 right; its manifest does not know every key"
    return f"{said}; SHA-256 right" + (", every value opens" if made.config_known and _all_opened(made) else "")


def _all_opened(made: Manifest) -> bool:
    return all(need.opened == need.values for need in made.keys)


def _findings(outcome: Outcome) -> Iterator[Finding]:
    for one in outcome.saved:
        where = Location(file=str(one.path))
        if one.unread:
            whose = "the configurations that could be read" if one.manifest.unread else "the configuration in force"
            yield rules.VALUES_UNREAD.finding(f"{one.unread} values do not open with {whose}", location=where)
        if one.manifest.incomplete:
            said = f"which keys open some of its values is not known: {'; '.join(one.manifest.unread)}"
            yield rules.KEYS_UNKNOWN.finding(said, status=Status.UNKNOWN, location=where)
        if one.plaintext:
            said = f"{one.plaintext} live values in plaintext that must be encrypted"
            yield rules.PLAINTEXT.finding(said, location=where, evidence=Evidence.E3)
    first = outcome.saved[0]
    if not first.manifest.values:
        named = ", ".join(f"{head} ({count})" for head, count in first.contents.others)
        said = f"no value stands under {display(first.manifest.prefix)}; outside of it: {named or 'nothing'}"
        yield stored_rules.EMPTY.finding(said, location=Location(file=str(first.path)))


def _not_saved(one: Failed, flags: Sequence[str]) -> Finding:
    why = f"{one.error}: {one.error.cause}" if one.error.cause else str(one.error)
    said = f"the etcd {display(one.name)} was not saved: {why}"
    fix = "; ".join((*one.error.hints, command(one.path, one.name, flags)))
    return rules.NOT_SAVED.finding(said, location=Location(file=str(one.path)), fix=fix)


def _tables(made: Manifest, *, several: bool) -> Iterator[Table]:
    of = f" ({display(made.name)})" if several else ""
    if made.keys:
        rows = tuple(
            (
                str(need.ref.provider),
                display(need.ref.name) + (f" ({display(need.key_id)})" if need.key_id else ""),
                need.fingerprint or "?",
                str(need.values),
                str(need.opened) if made.config_known else "-",
            )
            for need in made.keys
        )
        columns: tuple[str, ...] = ("PROVIDER", "KEY", "FINGERPRINT", "VALUES", "OPENED")
        yield Table(columns, rows, frozenset({3, 4}), f"keys it needs{of}")
    counts = tuple((display(one.resource), str(one.values), str(one.plaintext)) for one in made.resources)
    columns = ("RESOURCE", "VALUES", "PLAINTEXT")
    # NOTE: a table of nothing but wide columns shows only where all is asked for.
    yield Table(columns, counts, frozenset({1, 2}), f"resources{of}", wide_only=frozenset(range(len(columns))))


def _notes(saved: Saved) -> Iterator[str]:
    made = saved.manifest
    version = display(made.etcd_version) or "?"
    yield f"{made.name}: from {made.endpoint or 'etcd'}, cluster {made.cluster_id or '?'}, etcd {version}"
    yield f"manifest: {display(str(saved.manifest_path))}"
    if saved.registered is not None:
        yield f"the register of the key store {display(saved.registered)} knows it"
    if saved.former is not None:
        told = "it keeps the snapshot that had this name before, for its copies; once there is none"
        yield f"{told}: {shlex.join(('keyctl', 'snapshot', 'forget', saved.former))}"
    if not made.config_known and not made.unread:
        yield "no encryption configuration was found: no value was opened, and no fingerprint is known"
