"""Evidence of a rotation that a server joined on the way, and of servers that did not say what they had loaded."""

from __future__ import annotations

import pytest

from keyctl.errors import UnusableInputError
from tests.unit.rotation.evidence_stories import (
    Record,
    Story,
    checked,
    file_hash,
    proof_of,
    retired,
    server,
    with_fields,
    without,
)


def joined() -> list[Record]:
    """A third server joins with the file that writes with the new key, before the values are rewritten."""
    story = Story()
    story.begin()
    story.promote()
    story.add("joined", server="cp9", like="cp1", stage="PROMOTED", **server("cp9"))
    story.add("resume")
    story.prove("PROMOTED")
    story.prove_one("cp9", "PROMOTED")
    story.verify(20)
    story.proof("history", mode="compact", compacted=[{"etcd": "main", "revision": 40}])
    story.proof("resecured", snapshots=[], opened={"aescbc/key1": 12})
    story.place("RETIRED")
    story.write("RETIRED", "cp9")
    story.prove_one("cp9", "RETIRED")
    story.wait()
    story.prove("RETIRED")
    story.prove_one("cp9", "RETIRED")
    story.proof("retired", revision=45, values=13, leaving=0)
    return story.end("retired")


def test_a_server_that_joined_is_held_to_the_same_proofs_from_then_on() -> None:
    assert [name for name, _, _ in checked(joined()).servers] == ["cp1", "cp2", "cp9"]


@pytest.mark.parametrize("stage", ["PROMOTED", "RETIRED"])
def test_a_server_that_joined_and_was_never_proven_is_named(stage: str) -> None:
    with pytest.raises(UnusableInputError) as caught:
        checked(without(joined(), proof_of("server", server="cp9", stage=stage)))
    assert f"cp9 was not proven to have loaded its {stage} file" in (caught.value.cause or "")


def test_a_server_that_joined_later_need_not_have_read_the_key_before_it_was_there() -> None:
    records = joined()
    assert not [r for r in records if r.get("server") == "cp9" and r.get("stage") == "ADDED"]
    assert file_hash("cp9", "PROMOTED") in str(records)
    assert checked(records).state == "retired"


def test_a_joined_record_of_another_shape_is_refused() -> None:
    with pytest.raises(UnusableInputError, match="lists of hashes"):
        checked(with_fields(joined(), lambda record: record["kind"] == "joined", hashes=[]))


def test_what_showed_the_loaded_file_is_told_where_the_server_did_not_say_it() -> None:
    records = with_fields(retired(), proof_of("server", server="cp1"), loadedBy="start")
    records = with_fields(records, proof_of("server", server="cp1", stage="RETIRED"), loadedBy="reload")
    found = checked(with_fields(records, proof_of("server", server="cp2"), loadedBy="hash"))
    assert found.servers == (("cp1", 4, ("reload", "start")), ("cp2", 4, ("hash",)))
    assert "server cp1: 4 proofs; what it had loaded was shown by reload and start" in found.lines()
    assert "server cp2: 4 proofs" in found.lines()
