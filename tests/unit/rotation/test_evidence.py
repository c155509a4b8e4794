"""The evidence bundle: what was written holds, and whatever was changed or left out is refused with its line."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyctl.errors import UnusableInputError
from keyctl.rotation.evidence import FILE_NAME, FORMAT, canonical, digest, write
from keyctl.rotation.evidence_check import check
from keyctl.rotation.moments import moments
from tests.support.hints import wrong_commands
from tests.unit.rotation.evidence_stories import (
    ROTATION,
    SETTLE,
    STORIES,
    Record,
    aborted,
    chained,
    checked,
    hit_late,
    lines_of,
    of_kind,
    proof_of,
    retired,
    server,
    verified,
    with_fields,
    with_plan,
    without,
)


def refused(content: bytes) -> str:
    """The message for a bundle of these bytes."""
    with TemporaryDirectory() as directory:
        (Path(directory) / FILE_NAME).write_bytes(content)
        with pytest.raises(UnusableInputError) as caught:
            check(Path(directory))
    assert wrong_commands("\n".join(caught.value.hints)) == []
    return str(caught.value)


WHOLE = lines_of(retired())
positions = st.integers(0, len(WHOLE) - 1)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_what_was_written_holds(story: Callable[[], list[Record]], tmp_path: Path) -> None:
    records = story()
    evidence = write(tmp_path / "evidence", records)
    found = check(tmp_path / "evidence")
    assert (found.path, found.records, found.sha256) == (evidence.path, len(records), evidence.sha256)
    assert found.state == records[-1]["state"]


def test_a_bundle_says_who_changed_which_key_of_which_cluster_and_what_was_there() -> None:
    found = checked(hit_late())
    assert found.lines() == (
        f"rotation {ROTATION}: rotate, retired",
        "cluster prod, uid 0b1e",
        "by ops@bastion, from 2026-11-21T10:00:01+00:00 to 2026-11-21T10:04:53+00:00",
        f"new key aescbc/key2, fingerprint {'b' * 32}",
        f"retired key aescbc/key1, fingerprint {'a' * 32}",
        "server cp1: 7 proofs",
        "server cp2: 7 proofs",
        "leases under no known provider: 1 values before, 1 after",
        "secrets under aescbc/key1: 12 values before, 0 after",
        "secrets under aescbc/key2: 0 values before, 14 after",
        "revisions: before 10, switched 60, verified 80, retired 85, after 50",
        "settled 60 s; history: compact",
        "late hits: 1; the old keys were put back and all was proven again",
        f"52 records, last hash {found.sha256}",
    )


def test_the_record_of_a_bundle_is_json_with_everything_that_the_lines_say() -> None:
    found = checked(retired())
    record = found.to_record()
    assert json.loads(json.dumps(record)) == record
    assert record["servers"] == [{"name": name, "proofs": 4, "loadedBy": ["hash"]} for name in ("cp1", "cp2")]
    assert record["revisions"] == {"before": 10, "switched": 20, "verified": 40, "retired": 45, "after": 50}
    assert record["new"] == {"provider": "aescbc", "name": "key2", "fingerprint": "b" * 32}
    assert (record["history"], record["settle"], record["late"]) == ("compact", SETTLE, 0)
    assert record["sha256"] == found.sha256
    assert record["moments"] == moments(retired())


def test_a_key_that_stays_is_not_called_retired() -> None:
    assert f"kept key aescbc/key1, fingerprint {'a' * 32}" in checked(aborted()).lines()


def test_control_characters_of_a_bundle_do_not_reach_the_terminal() -> None:
    lines = checked(with_fields(retired(), of_kind("attempt"), who="\x1b[2Jops")).lines()
    assert "\\x1b[2Jops" in lines[2]
    assert all(line.isprintable() for line in lines)


def test_the_bundle_is_for_its_owner_only_and_nothing_else_is_left_beside_it(tmp_path: Path) -> None:
    path = write(tmp_path / "evidence", retired()).path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [child.name for child in path.parent.iterdir()] == [FILE_NAME]


def test_a_draft_that_a_crash_left_is_no_hindrance_and_lends_nothing_of_its_mode(tmp_path: Path) -> None:
    draft = tmp_path / f".{FILE_NAME}.new"
    draft.write_text("half")
    draft.chmod(0o644)
    path = write(tmp_path, retired()).path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not draft.exists()


def test_an_earlier_bundle_of_the_same_rotation_is_replaced(tmp_path: Path) -> None:
    write(tmp_path, verified())
    write(tmp_path, retired())
    assert check(tmp_path).state == "retired"


@pytest.mark.parametrize("there", [lines_of(with_fields(retired(), bool, rotation="other"))[0], b"notes\n", b"[1]\n"])
def test_what_is_no_evidence_of_this_rotation_is_not_written_over(there: bytes, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(there)
    with pytest.raises(UnusableInputError, match="is there already"):
        write(tmp_path, retired())
    assert (tmp_path / FILE_NAME).read_bytes() == there


@pytest.mark.parametrize(
    "records",
    [
        [],
        retired()[:-1],
        [*retired(), {**retired()[-1], "rotation": "other"}],
        with_fields(retired(), of_kind("end"), previous="mine"),
    ],
    ids=["none", "no end", "two rotations", "a field of the chain"],
)
def test_only_the_records_of_one_finished_rotation_are_written(records: list[Record], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"evidence is made of|a field that the chain needs"):
        write(tmp_path, records)
    assert list(tmp_path.iterdir()) == []


def test_the_chain_that_the_tests_forge_is_the_one_that_keyctl_writes(tmp_path: Path) -> None:
    assert write(tmp_path, retired()).path.read_bytes() == b"".join(WHOLE)


def test_a_missing_file_is_refused_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(UnusableInputError, match=re.escape(f"{tmp_path / FILE_NAME}, from its line 1 on")):
        check(tmp_path)


def says_line(number: int, message: str) -> bool:
    return message.startswith(f"line {number} of the evidence ")


@given(st.data(), positions)
def test_a_changed_byte_is_refused_with_its_line(data: st.DataObject, index: int) -> None:
    line = WHOLE[index]
    place = data.draw(st.integers(0, len(line) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != line[place]))
    changed = line[:place] + bytes([byte]) + line[place + 1 :]
    assert says_line(index + 1, refused(b"".join([*WHOLE[:index], changed, *WHOLE[index + 1 :]])))


@given(positions)
def test_a_removed_line_is_refused_where_it_stood(index: int) -> None:
    message = refused(b"".join([*WHOLE[:index], *WHOLE[index + 1 :]]))
    # NOTE: without the last line there is none where it stood: the line before it shows that the end is missing.
    assert says_line(min(index + 1, len(WHOLE) - 1), message)


@given(st.integers(0, len(WHOLE) - 2))
def test_swapped_lines_are_refused_at_the_first_of_them(index: int) -> None:
    swapped = [*WHOLE[:index], WHOLE[index + 1], WHOLE[index], *WHOLE[index + 2 :]]
    assert says_line(index + 1, refused(b"".join(swapped)))


@given(positions, positions)
def test_an_inserted_line_is_refused_where_it_stands_or_where_it_pushes_another(index: int, copied: int) -> None:
    message = refused(b"".join([*WHOLE[:index], WHOLE[copied], *WHOLE[index:]]))
    assert says_line(index + (2 if copied == index else 1), message)


@given(st.integers(0, sum(map(len, WHOLE)) - 1))
def test_a_truncated_bundle_is_refused_at_the_last_line_that_is_there(size: int) -> None:
    cut = b"".join(WHOLE)[:size]
    assert says_line(max(1, len(cut.splitlines())), refused(cut))


@pytest.mark.parametrize("tail", [b"\n", b"{}\n", b"x", b"null\n", b"\xff\n", b"[" * 100_000 + b"\n", WHOLE[-1]])
def test_an_appended_line_is_refused(tail: bytes) -> None:
    assert says_line(len(WHOLE) + 1, refused(b"".join([*WHOLE, tail])))


def test_a_record_chained_on_after_the_end_is_refused() -> None:
    assert "comes after the rotation's end" in refused(b"".join(chained([*retired(), retired()[-1]])))


def test_a_line_that_was_replaced_with_its_hash_made_anew_breaks_the_next_one() -> None:
    changed = json.loads(WHOLE[3])
    changed["revision"] = 11
    del changed["hash"]
    changed["hash"] = digest(canonical(changed))
    forged = [*WHOLE[:3], canonical(changed).encode() + b"\n", *WHOLE[4:]]
    assert "line 5 of the evidence does not follow" in refused(b"".join(forged))


def test_a_line_with_a_space_more_is_not_the_one_that_was_written() -> None:
    spaced = WHOLE[4].replace(b'":"', b'": "', 1)
    assert "line 5 of the evidence was changed" in refused(b"".join([*WHOLE[:4], spaced, *WHOLE[5:]]))


def test_a_chain_that_counts_wrongly_is_refused() -> None:
    record = {**retired()[0], "n": 2, "previous": digest(FORMAT)}
    line = canonical({**record, "hash": digest(canonical(record))}).encode() + b"\n"
    assert "line 1 of the evidence is not the one that was written there" in refused(line)


def test_another_format_is_refused_at_its_first_line() -> None:
    record = {**retired()[0], "n": 1, "previous": digest("keyctl/evidence/v2")}
    line = canonical({**record, "hash": digest(canonical(record))}).encode() + b"\n"
    assert f"line 1 of the evidence does not begin the format {FORMAT}" in refused(line)


def test_records_of_several_rotations_are_refused_at_the_first_of_another() -> None:
    mixed = [*retired()[:-1], {**retired()[5], "rotation": "other"}, retired()[-1]]
    message = refused(b"".join(chained(mixed)))
    assert message == f"line {len(mixed) - 1} of the evidence belongs to another rotation"


@pytest.mark.parametrize(
    ("records", "said"),
    [
        (without(retired(), of_kind("begin")), "not exactly one begin"),
        ([*retired()[:4], *retired()[2:]], "line 5 of the evidence shows that there is not exactly one begin"),
        (with_plan(retired(), rotation="other"), "line 3 of the evidence holds the plan of another rotation"),
        (with_plan(retired(), servers=[]), "line 3 of the evidence holds a plan without servers"),
        (with_plan(retired(), servers=[{"name": "cp1", "hashes": []}]), "without 4 lists of hashes"),
        (with_plan(retired(), servers=[server("cp1"), server("cp1")]), "with one server twice"),
        (with_plan(retired(), servers="cp1"), "no list in the field servers"),
        (with_plan(retired(), old=["key1"]), "lacks a JSON object"),
        (with_plan(retired(), goal=1), "no text in the field goal"),
        (with_fields(retired(), of_kind("counts"), groups=[{"resource": "secrets"}]), "no text in the field key"),
        (with_fields(retired(), proof_of("verified"), leaving=True), "no whole number in the field leaving"),
        (with_fields(retired(), of_kind("end"), at="2026-11-21T10:00:00"), "no time with a zone"),
        (with_fields(retired(), of_kind("end"), at="noon"), "no time with a zone"),
    ],
)
def test_a_whole_chain_over_records_of_another_shape_is_refused(records: list[Record], said: str) -> None:
    assert said in refused(b"".join(chained(records)))
