"""What the records of a bundle must show: each claim has records here that lack it, and is named for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from keyctl.errors import UnusableInputError
from tests.support.hints import wrong_commands
from tests.unit.rotation.evidence_stories import (
    SERVERS,
    STAGES,
    Record,
    Story,
    aborted,
    aborted_before_any_file,
    aborted_early,
    aborted_to_no_flag,
    checked,
    file_hash,
    hit_late,
    hurried,
    moved,
    of_kind,
    proof_of,
    retired,
    stage_of,
    verified,
    with_fields,
    with_plan,
    without,
    without_since,
)


def doubts(records: Sequence[Mapping[str, object]]) -> list[str]:
    """What the records fail to show, sentence by sentence."""
    with pytest.raises(UnusableInputError) as caught:
        checked(records)
    assert str(caught.value).endswith("by the rules"), caught.value
    assert wrong_commands("\n".join(caught.value.hints)) == []
    return str(caught.value.cause).split("; ")


CLAIMS: dict[str, tuple[list[Record], str]] = {
    "no attempt": (without(retired(), of_kind("attempt")), "nothing says who began it"),
    "nobody": (with_fields(retired(), of_kind("attempt"), who=""), "nothing says who began it"),
    "no uid": (with_plan(retired(), clusterUid=""), "does not say the uid of the cluster"),
    "no new fingerprint": (with_plan(retired(), fingerprint=""), "no fingerprint of aescbc/key2"),
    "no old fingerprint": (with_plan(retired(), old=[{"provider": "aescbc", "name": "key1"}]), "of aescbc/key1"),
    "no settle": (with_plan(retired(), settle=None), "does not say how long to settle"),
    "a settle time that is no number": (with_plan(retired(), settle=True), "does not say how long to settle"),
    "no count before": (without(retired(), of_kind("counts", of="before")), "no count of the values before"),
    "no count after": (without(retired(), of_kind("counts", of="after")), "no count of the values after"),
    "one readable": (without(retired(), proof_of("readable", times=1)), "after 1 of 2 readable proofs"),
    "readable of files not all there": (
        moved(retired(), proof_of("readable"), before=of_kind("outcome", server="cp2", stage="ADDED")),
        "after 0 of 2 readable proofs",
    ),
    "promoted unread": (
        without(retired(), proof_of("server", server="cp2", stage="ADDED")),
        "cp2 was not proven to have loaded its ADDED file",
    ),
    "promoted file not loaded": (
        without(retired(), proof_of("server", server="cp1", stage="PROMOTED")),
        "cp1 was not proven to have loaded its PROMOTED file",
    ),
    "another file loaded": (
        with_fields(retired(), proof_of("server", server="cp1", stage="PROMOTED"), loaded=file_hash("cp2", "PROMOTED")),
        "cp1 was not proven to have loaded its PROMOTED file",
    ),
    "no hash loaded": (
        with_fields(retired(), proof_of("server", server="cp1", stage="PROMOTED"), loaded=["x"]),
        "cp1 was not proven to have loaded its PROMOTED file",
    ),
    "proven before it was written": (
        moved(
            retired(),
            proof_of("server", server="cp1", stage="PROMOTED"),
            before=of_kind("outcome", server="cp1", stage="PROMOTED"),
        ),
        "cp1 was not proven to have loaded its PROMOTED file",
    ),
    "retired file not loaded": (
        without(retired(), proof_of("server", server="cp2", stage="RETIRED")),
        "cp2 was not proven to have loaded its RETIRED file",
    ),
    "not switched": (without(retired(), proof_of("switched")), "verified before it was switched"),
    "switched afterwards": (
        moved(retired(), proof_of("switched"), before=proof_of("history")),
        "verified before it was switched",
    ),
    "not verified": (without(verified(), proof_of("verified")), "no verified proof of the last run-through"),
    "verified in a hurry": (hurried(retired(), proof_of("verified"), 2), "59.0 s after line"),
    "written while it settles": (
        moved(verified(), of_kind("outcome", server="cp2", stage="PROMOTED"), before=of_kind("end")),
        "a file was written after the proof of line",
    ),
    "written before removal": (
        moved(retired(), of_kind("outcome", server="cp1", stage="PROMOTED"), before=proof_of("history")),
        "a file was written after the proof of line",
    ),
    "removed unverified": (without(retired(), proof_of("verified")), "taken away without a verified proof"),
    "removed with history": (without(retired(), proof_of("history")), "taken away without a history proof"),
    "removed unsecured": (without(retired(), proof_of("resecured")), "taken away without a resecured proof"),
    "removed too early": (
        moved(retired(), of_kind("intent", server="cp1", stage="RETIRED"), before=proof_of("history")),
        "taken away without a history proof",
    ),
    "removed without snapshot": (without(retired(), of_kind("secured")), "no snapshot was secured before"),
    "archive unopened": (
        with_fields(retired(), proof_of("resecured"), opened={"aescbc/key1": 0}),
        "aescbc/key1 was taken away before its stored copy was seen to open a value",
    ),
    "verified with some left": (with_fields(retired(), proof_of("verified"), leaving=3), "proven with 3 values"),
    "retired with some left": (with_fields(retired(), proof_of("retired"), leaving=1), "proven with 1 values"),
    "not scanned again": (without(retired(), proof_of("retired")), "the retired proof is missing"),
    "retired in a hurry": (hurried(retired(), proof_of("retired"), 5), "58.0 s after line"),
    "written after the last scan": (
        moved(retired(), of_kind("outcome", server="cp2", stage="RETIRED"), before=of_kind("counts", of="after")),
        "a file was written after the proof of line",
    ),
    "not put back after a late hit": (
        without_since("late", hit_late(), stage_of("PROMOTED")),
        "cp1 was not proven to have loaded its PROMOTED file",
    ),
    "not switched after a late hit": (
        without_since("late", hit_late(), proof_of("switched")),
        "verified before it was switched",
    ),
    "not verified after a late hit": (
        without_since("late", hit_late(), proof_of("verified")),
        "taken away without a verified proof",
    ),
    "not dealt with history after a late hit": (
        without_since("late", hit_late(), proof_of("history")),
        "taken away without a history proof",
    ),
    "not scanned again after a late hit": (
        without_since("late", hit_late(), proof_of("retired")),
        "the retired proof is missing",
    ),
    "removed with history before a late hit": (
        with_fields(hit_late(), proof_of("history", compacted=[{"etcd": "main", "revision": 40}]), of="other"),
        "taken away without a history proof",
    ),
    "odd end": (with_fields(retired(), of_kind("end"), state="done"), "no rotation ends in the state 'done'"),
    "aborted by nobody": (without(aborted(), of_kind("abort")), "nobody aborted it"),
    "aborted and retired": (
        with_fields(aborted(), of_kind("end"), state="retired"),
        "was aborted, but it ends retired",
    ),
    "not demoted": (
        without_since("abort", aborted(), stage_of("ADDED")),
        "cp1 was not proven to have loaded its ADDED file",
    ),
    "aborted unverified": (without(aborted(), proof_of("verified")), "taken away without a verified proof after"),
    "aborted and verified too early": (
        moved(aborted(), proof_of("verified"), before=of_kind("abort")),
        "taken away without a verified proof after the abort",
    ),
    "aborted with some left": (with_fields(aborted(), proof_of("verified"), leaving=2), "proven with 2 values"),
    "aborted in a hurry": (hurried(aborted(), proof_of("verified"), 2), "59.0 s after line"),
    "aborted and verified too late": (
        moved(aborted(), proof_of("verified"), before=of_kind("counts", of="after")),
        "taken away without a verified proof after the abort",
    ),
    "aborted and not as before": (
        without(aborted(), proof_of("server", server="cp2", stage="BASE")),
        "cp2 was not proven to have loaded its BASE file",
    ),
    "aborted and not switched back": (
        without(aborted(), proof_of("switched")),
        "verified before it was switched back",
    ),
    "aborted with history": (without(aborted(), proof_of("history")), "without a history proof after the abort"),
    "flag taken away with history": (
        moved(aborted_to_no_flag(), proof_of("history"), before=of_kind("outcome", step="restore-manifest")),
        "without a history proof after the abort",
    ),
    "flag taken away unproven": (
        without(aborted_to_no_flag(), proof_of("server", server="cp2", stage="BASE")),
        "cp2 was not proven to have loaded its BASE file",
    ),
    "aborted and not scanned again": (without(aborted(), proof_of("gone")), "the gone proof is missing"),
    "aborted and scanned in a hurry": (hurried(aborted(), proof_of("gone"), 5), "58.0 s after line"),
    "aborted with some left at the end": (with_fields(aborted(), proof_of("gone"), leaving=1), "proven with 1 values"),
    "aborted early and not as before": (
        without(aborted_early(), proof_of("server", server="cp1", stage="BASE")),
        "cp1 was not proven to have loaded its BASE file",
    ),
    "aborted early and not scanned again": (without(aborted_early(), proof_of("gone")), "gone proof is missing"),
    "aborted at once and not looked at": (
        without(aborted_before_any_file(), proof_of("server", server="cp2")),
        "cp2 was not proven to have loaded its BASE file",
    ),
    "looked at and then aborted": (
        moved(aborted_before_any_file(), proof_of("server", server="cp2"), before=of_kind("abort")),
        "cp2 was not looked at after the abort",
    ),
}


@pytest.mark.parametrize(("records", "said"), CLAIMS.values(), ids=CLAIMS.keys())
def test_a_claim_that_the_records_do_not_bear_out_is_named(records: list[Record], said: str) -> None:
    assert any(said in doubt for doubt in doubts(records))


def test_every_claim_that_fails_is_named_not_only_the_first() -> None:
    named = doubts(without(without(retired(), of_kind("attempt")), proof_of("retired")))
    assert named == [
        "nothing says who began it",
        "no last scan after the files lost the key: the retired proof is missing",
    ]


def test_settling_may_be_recorded_a_few_milliseconds_short() -> None:
    assert checked(hurried(retired(), proof_of("verified"), 1.05)).state == "retired"


def test_a_server_whose_file_is_the_same_at_two_stages_needs_no_write_between_them() -> None:
    same = [
        {"name": name, "hashes": [[file_hash(name, stage)] for stage in ("ADDED", *STAGES[1:])], "flagMissing": False}
        for name in SERVERS
    ]
    records = without(with_plan(retired(), servers=same), stage_of("ADDED"))
    assert checked(records).state == "retired"


def test_a_rotation_whose_new_key_was_read_before_it_began_loses_no_key_when_it_is_aborted() -> None:
    same = [
        {"name": name, "hashes": [[file_hash(name, stage)] for stage in ("ADDED", *STAGES[1:])], "flagMissing": False}
        for name in SERVERS
    ]
    records = without(with_plan(aborted(), servers=same), proof_of("gone"))
    assert checked(without(records, lambda r: r.get("stage") == "BASE")).state == "aborted"


def test_a_write_that_was_refused_leaves_the_proof_of_the_file_that_stayed() -> None:
    story = Story()
    story.begin()
    story.promote()
    story.proof("switched", revision=10)
    story.wait()
    story.proof("verified", revision=15, values=13, leaving=0, under=12)
    story.proof("history", mode="ignore", compacted=[])
    story.proof("resecured", snapshots=[], opened={"aescbc/key1": 12})
    story.add("intent", step="write-file", server="cp1", stage="RETIRED")
    story.verify(20)
    story.retire(40)
    assert checked(story.end("retired")).history == "compact"


def test_an_abort_that_was_asked_for_twice_is_one() -> None:
    records = aborted()
    again = records.index(next(filter(proof_of("history"), records))) + 1
    twice = [*records[:again], {**records[again], "kind": "abort"}, *records[again:]]
    assert checked(twice).state == "aborted"


def test_a_stored_copy_has_nothing_to_open_when_no_snapshot_needs_its_key() -> None:
    snapshots = [{"path": "/backups/first.db", "needs": []}]
    records = with_fields(retired(), of_kind("secured"), snapshots=snapshots)
    assert checked(with_fields(records, proof_of("resecured"), opened={})).state == "retired"


@pytest.mark.parametrize("provider", ["identity", "kms"])
def test_a_key_whose_bytes_keyctl_does_not_hold_needs_no_fingerprint(provider: str) -> None:
    records = with_plan(retired(), new={"provider": provider, "name": ""}, fingerprint="")
    assert f"new key {provider}" in checked(records).lines()


def test_a_proof_from_before_a_crash_is_as_good_as_its_repetition_after_it() -> None:
    story = Story()
    story.begin()
    story.promote()
    story.proof("switched", revision=15)
    story.add("resume")
    story.prove("PROMOTED")
    story.verify(20)
    story.retire(40)
    del story.records[-1]
    story.add("resume")
    story.prove("RETIRED")
    story.close("retired", "RETIRED", 45)
    assert checked(story.end("retired")).servers == (("cp1", 7, ("hash",)), ("cp2", 7, ("hash",)))
