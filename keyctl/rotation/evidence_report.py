"""A bundle that holds as a `Report` (the `RotationEvidence` of `keyctl/v1`), for report files. Judges nothing."""

from __future__ import annotations

from keyctl.errors import ExitCode
from keyctl.findings import Report, Table
from keyctl.rotation.evidence_check import Checked


def to_report(checked: Checked) -> Report:
    """What `checked` says of its rotation. There is none for a bundle that does not hold: `check` raises."""
    return Report(
        kind="RotationEvidence",
        exit_code=ExitCode.OK,
        verdict=f"{checked.goal}, {checked.state}: the chain of {checked.records} records is whole, "
        "and they show what the rules of a rotation ask for",
        data=checked.to_record(),
        tables=_tables(checked),
        notes=_notes(checked),
    )


def _tables(checked: Checked) -> tuple[Table, ...]:
    servers = tuple((name, str(proofs), ", ".join(kinds)) for name, proofs, kinds in checked.servers)
    values = tuple((what, str(before), str(after)) for what, before, after in checked.changes())
    revisions = tuple((what, str(revision)) for what, revision in checked.revisions)
    return (
        Table(("SERVER", "PROOFS", "LOADED SHOWN BY"), servers, frozenset({1}), "proofs of each server"),
        Table(("VALUES OF", "BEFORE", "AFTER"), values, frozenset({1, 2}), "values before and after"),
        Table(("AT", "ETCD REVISION"), revisions, frozenset({1}), "revisions of etcd"),
    )


def _notes(checked: Checked) -> tuple[str, ...]:
    late = (f"late hits: {checked.late}; the old keys were put back and all was proven again",) if checked.late else ()
    return (
        f"settled {checked.settle:g} s; history: {checked.history or 'left as it is'}",
        *late,
        "the chain is no signature: compare its last hash with the one that was kept elsewhere when the rotation ended",
    )
