"""What a journal tells of a rotation for whoever draws it: what happened, not what was meant to happen."""

from __future__ import annotations

import json
from pathlib import Path

from keyctl.errors import ExitCode
from keyctl.rotation.diagnosis.records import journal_seen
from keyctl.rotation.evidence_report import to_report
from keyctl.rotation.journal import Journal
from keyctl.rotation.moments import moments
from tests.unit.rotation.evidence_stories import Story, checked, hit_late, retired


def test_what_was_only_meant_to_be_done_is_no_moment() -> None:
    story = Story()
    story.write("ADDED", "cp1")
    story.add("outcome", step="store-key", key="aescbc/key2")
    story.count("before", 10, "key1", 12)
    (written,) = moments(story.records)
    assert (written["kind"], written["step"], written["server"], written["stage"]) == (
        "outcome",
        "write-file",
        "cp1",
        "ADDED",
    )


def test_a_moment_has_plain_values_only() -> None:
    story = Story()
    story.prove_one("cp1", "ADDED")
    story.proof("verified", revision=40, values=13, leaving=0, under=12)
    story.proof("server", server="cp1", stage=None, loadedBy=["hash"])
    proven, verified, unsure = moments(story.records)
    assert unsure.keys() == {"at", "kind", "of", "server"}
    assert proven == {"at": proven["at"], "kind": "proof", "of": "server", "server": "cp1", "stage": "ADDED"}
    assert (verified["revision"], verified["values"], verified["leaving"]) == (40, 13, 0)
    assert json.loads(json.dumps(moments(retired()))) == moments(retired())


def test_a_rotation_that_is_not_ended_tells_its_moments_in_the_status(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    story = Story()
    story.begin()
    story.write("ADDED", "cp1")
    journal.path.write_text("".join(json.dumps(record) + "\n" for record in story.records))
    seen = journal_seen(journal)
    assert seen is not None
    assert list(seen.moments) == moments(journal.unfinished())
    assert seen.moments[-1]["server"] == "cp1"


def test_the_evidence_of_a_rotation_is_a_report_with_all_that_its_record_says() -> None:
    found = checked(hit_late())
    report = to_report(found)
    assert (report.kind, report.exit_code, report.data) == ("RotationEvidence", ExitCode.OK, found.to_record())
    assert report.verdict.startswith("rotate, retired: the chain of 52 records is whole")
    assert {table.title: len(table.rows) for table in report.tables} == {
        "proofs of each server": 2,
        "values before and after": 3,
        "revisions of etcd": 5,
    }
    assert any(note.startswith("late hits: 1;") for note in report.notes)
    assert not any(note.startswith("late hits") for note in to_report(checked(retired())).notes)
