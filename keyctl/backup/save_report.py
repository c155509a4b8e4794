"""A snapshot that was saved, in words and as JSON-ready values. Decides nothing but the exit code."""

from __future__ import annotations

from collections.abc import Iterator

from keyctl.backup import rules
from keyctl.backup.manifest import Manifest, to_document
from keyctl.backup.save import Saved
from keyctl.errors import ExitCode
from keyctl.findings import Finding, Location, Report, Table
from keyctl.stored import rules as stored_rules
from keyctl.stored.display import display


def to_report(saved: Saved, notes: tuple[str, ...] = ()) -> Report:
    """`saved` for a reader and for machines (the `SnapshotSaveReport` of `keyctl/v1`); `notes` come first."""
    made = saved.manifest
    exit_code = ExitCode.UNREADABLE if saved.unread else ExitCode.OK if made.values else ExitCode.EMPTY
    return Report(
        kind="SnapshotSaveReport",
        exit_code=exit_code,
        verdict=_verdict(saved),
        findings=tuple(_findings(saved)),
        data={
            "file": str(saved.path),
            "manifestFile": str(saved.manifest_path),
            "registeredIn": saved.registered,
            "unread": saved.unread if made.config_known else None,
            "manifest": to_document(made),
        },
        tables=tuple(_tables(made)),
        notes=(*notes, *_notes(saved)),
        next_steps=(f"keyctl snapshot verify {saved.path}    wherever it is copied to, with its manifest",),
    )


def _verdict(saved: Saved) -> str:
    made = saved.manifest
    said = (
        f"saved {display(str(saved.path))}: {made.size / 1e6:.1f} MB, {made.values} values at revision {made.revision}"
    )
    if saved.unread:
        return f"{said}; the configuration in force does not open {saved.unread} of them"
    if not made.values:
        return f"{said}; nothing stands under {display(made.prefix)}"
    return f"{said}; SHA-256 right" + (", every value opens" if made.config_known and _all_opened(made) else "")


def _all_opened(made: Manifest) -> bool:
    return all(need.opened == need.values for need in made.keys)


def _findings(saved: Saved) -> Iterator[Finding]:
    where = Location(file=str(saved.path))
    if saved.unread:
        said = f"{saved.unread} values do not open with the configuration in force"
        yield rules.VALUES_UNREAD.finding(said, location=where)
    if not saved.manifest.values:
        named = ", ".join(f"{head} ({count})" for head, count in saved.contents.others)
        said = f"no value stands under {display(saved.manifest.prefix)}; outside of it: {named or 'nothing'}"
        yield stored_rules.EMPTY.finding(said, location=where)


def _tables(made: Manifest) -> Iterator[Table]:
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
        yield Table(columns, rows, frozenset({3, 4}), "keys it needs")
    counts = tuple((display(one.resource), str(one.values), str(one.plaintext)) for one in made.resources)
    columns = ("RESOURCE", "VALUES", "PLAINTEXT")
    # NOTE: a table of nothing but wide columns shows only where all is asked for.
    yield Table(columns, counts, frozenset({1, 2}), "resources", wide_only=frozenset(range(len(columns))))


def _notes(saved: Saved) -> Iterator[str]:
    made = saved.manifest
    yield f"from {made.endpoint or 'etcd'}, cluster {made.cluster_id or '?'}, etcd {display(made.etcd_version) or '?'}"
    yield f"manifest: {display(str(saved.manifest_path))}"
    if saved.registered is not None:
        yield f"the register of the key store {display(saved.registered)} knows it"
    if not made.config_known:
        yield "no encryption configuration was found: no value was opened, and no fingerprint is known"
