"""What the journal tells the next run of a rotation, and what it must not be taken for."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyctl.errors import StoppedError
from keyctl.rotation.background import Background, background_of
from keyctl.rotation.plan import Stage, State, Way
from tests.support.simulator import SimCluster
from tests.unit.rotation.scenes import ROTATE, begin, plans

Record = dict[str, object]


def kept(kind: str, *paths: Path, **fields: object) -> Record:
    return {"kind": kind, "snapshots": [{"path": str(path), "sha256": "", "needs": []} for path in paths], **fields}


def write(kind: str, stage: Stage) -> Record:
    return {"kind": kind, "step": "write-file", "server": "cp1", "stage": stage.name}


def test_a_rotation_that_has_done_nothing_yet_goes_forward_with_nothing_proven() -> None:
    assert background_of([]) == Background(Way.FORWARD, (), ever_promoted=False, resecured=False)
    assert background_of([{"kind": "attempt", "goal": "rotate"}, {"kind": "begin"}, {"kind": "resume"}]) == Background()


def test_once_aborted_the_way_is_back_for_ever() -> None:
    records = [{"kind": "begin"}, {"kind": "abort"}, {"kind": "resume"}, {"kind": "state", "state": "aborting"}]
    assert background_of(records).way is Way.BACK


def test_the_first_snapshots_are_those_from_before_anything_was_changed(tmp_path: Path) -> None:
    first, other, second = tmp_path / "first.db", tmp_path / "other.db", tmp_path / "second.db"
    records = [kept("secured", first, other), kept("proof", second, of="resecured")]
    assert list(background_of(records).first_snapshots) == [first, other], "whether they are still there or not"


@pytest.mark.parametrize(
    ("records", "promoted"),
    [
        pytest.param([write("intent", Stage.ADDED), write("outcome", Stage.ADDED)], False, id="read key"),
        pytest.param([write("intent", Stage.PROMOTED)], True, id="about to be the writer"),
        pytest.param([write("intent", Stage.PROMOTED), write("outcome", Stage.PROMOTED)], True, id="the writer"),
        pytest.param([write("intent", Stage.PROMOTED), write("intent", Stage.ADDED)], True, id="demoted since"),
        pytest.param([{"kind": "intent", "step": "restart", "stage": "PROMOTED"}], False, id="no file"),
    ],
)
def test_a_file_with_the_new_key_first_that_was_about_to_be_placed_counts_as_one_that_was(
    records: list[Record], promoted: bool
) -> None:
    assert background_of(records).ever_promoted is promoted


def test_resecured_is_remembered_as_long_as_every_second_snapshot_is_there(tmp_path: Path) -> None:
    one, two = tmp_path / "after-0.db", tmp_path / "after-1.db"
    records = [kept("proof", one, two, of="resecured")]
    assert not background_of(records).resecured
    one.touch()
    assert not background_of(records).resecured
    two.touch()
    assert background_of(records).resecured


def test_other_proofs_and_the_first_snapshots_are_no_second_ones(tmp_path: Path) -> None:
    there = tmp_path / "there.db"
    there.touch()
    assert not background_of([kept("secured", there), kept("proof", there, of="verified")]).resecured


def test_a_second_snapshot_taken_anew_is_the_one_that_counts(tmp_path: Path) -> None:
    gone, there = tmp_path / "gone.db", tmp_path / "there.db"
    there.touch()
    records = [kept("proof", gone, of="resecured"), kept("proof", there, of="resecured")]
    assert background_of(records).resecured
    assert not background_of(list(reversed(records))).resecured


@pytest.mark.parametrize("snapshots", [[], None, "after.db", ["after.db"]])
def test_a_record_that_names_no_snapshot_secures_nothing(snapshots: object) -> None:
    assert not background_of([{"kind": "proof", "of": "resecured", "snapshots": snapshots}]).resecured


def test_a_second_snapshot_that_is_gone_is_taken_again_before_the_old_key_leaves(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    with pytest.raises(StoppedError):
        begin(cluster.session(pause_after=State.RESECURED), ROTATE)
    (plan,) = plans(cluster)
    found = background_of(cluster.journal().of(plan.rotation))
    assert found.resecured
    assert found.ever_promoted
    (second,) = [path for path in (tmp_path / "snapshots").iterdir() if path not in found.first_snapshots]
    second.unlink()
    cluster.switch.labels.clear()
    assert cluster.session().resume().state is State.RETIRED
    labels = cluster.switch.labels
    assert labels.index("journal proof resecured") < labels.index("journal state retiring")
    assert labels.count("save-snapshot") == 1
    assert second.exists()
