"""The old key leaves (R3): what lands late, at any moment, is rewritten, or brings the key back everywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from keyctl.errors import KeyctlError, StoppedError
from keyctl.rotation.plan import Goal, State
from keyctl.rotation.preflight import Wish
from tests.support.sim_objects import key_of
from tests.support.sim_server import CONFIG_PATH, Spec
from tests.support.sim_texts import EVERYTHING
from tests.support.simulator import SimCluster
from tests.unit.rotation.scenes import (
    ROTATE,
    SCENES,
    Scene,
    after,
    assert_done,
    before,
    begin,
    ended,
    have_old_key,
    head,
    kill,
    moments,
    plans,
    proofs_of,
    skip_slow_parts,
    stops,
)

BY_RESTART, BY_RELOAD, MIXED_ROTATION, EVERY_RESOURCE = SCENES[2], SCENES[3], SCENES[4], SCENES[6]
ETCD, FAR_ETCD = "https://10.0.0.9:2379", "https://10.0.0.8:2379"
LATE = key_of("secrets", "default", "late")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_slow_parts(monkeypatch)


def late(cluster: SimCluster) -> Callable[[], None]:
    """A create that was sealed before the rotation."""
    return cluster.hold_until_told("cp3", "secrets", "default", "late")


# -- R3: what lands late, forward


@pytest.mark.parametrize("scene", [BY_RESTART, BY_RELOAD], ids=lambda scene: scene.name)
@pytest.mark.parametrize(
    "label",
    [
        "journal state switched",
        "journal outcome rewrite",
        "journal proof verified",
        "journal proof history",
        "compact",
    ],
)
def test_r3_what_lands_before_any_server_let_go_is_rewritten_and_all_goes_on(
    scene: Scene, label: str, tmp_path: Path
) -> None:
    cluster = scene.cluster(tmp_path)
    after(cluster, label, late(cluster))
    assert begin(cluster.session(), ROTATE).state is State.RETIRED
    assert LATE in cluster.objects
    assert not cluster.were_unreadable
    assert not cluster.still_excused()
    assert_done(cluster, scene)


@pytest.mark.parametrize("scene", [BY_RESTART, BY_RELOAD], ids=lambda scene: scene.name)
def test_r3_what_lands_between_the_proof_and_the_first_file_is_seen_by_the_guard_and_all_is_proven_anew(
    scene: Scene, tmp_path: Path
) -> None:
    cluster = scene.cluster(tmp_path)
    after(cluster, "journal proof resecured", late(cluster))
    assert begin(cluster.session(), ROTATE).state is State.RETIRED
    assert Counter(proofs_of(cluster))["verified"] == 2
    assert not cluster.were_unreadable
    assert_done(cluster, scene)


BY_LABEL = [
    pytest.param(BY_RESTART, f"cp1: write {CONFIG_PATH}", 3, id="restart: right after the guard of the first file"),
    pytest.param(BY_RESTART, "journal outcome write-file", 8, id="restart: one let go, the second has the file"),
    pytest.param(BY_RESTART, "cp1: restart", 3, id="restart: while the first server comes up"),
    pytest.param(BY_RESTART, "cp2: restart", 3, id="restart: while the second server comes up"),
    pytest.param(BY_RESTART, "cp3: restart", 3, id="restart: while the last server comes up"),
    pytest.param(BY_RESTART, "journal outcome restart", 7, id="restart: before the first server is proven"),
    pytest.param(BY_RESTART, "journal proof server", 7, id="restart: when one let go"),
    pytest.param(BY_RESTART, "journal proof server", 8, id="restart: when two let go"),
    pytest.param(BY_RESTART, "journal proof server", 9, id="restart: when all let go"),
    pytest.param(BY_RELOAD, "journal outcome write-file", 7, id="reload: one file without it"),
    pytest.param(BY_RELOAD, "journal outcome write-file", 9, id="reload: all files without it"),
    pytest.param(BY_RELOAD, "journal proof server", 9, id="reload: when all let go"),
    pytest.param(MIXED_ROTATION, "cp3: restart", 3, id="mixed: while the last server comes up"),
]


def assert_put_back(cluster: SimCluster, error: KeyctlError) -> None:
    """Exit 6 by R3: both keys are in every file, and nothing is under the old one, nor unreadable anywhere."""
    assert isinstance(error, StoppedError)
    assert error.rule == "R3"
    assert "--resume" in "".join(error.hints)
    assert have_old_key(cluster) == [True] * len(cluster.servers)
    assert all(server.ready for server in cluster.servers)
    assert not cluster.still_excused()
    assert cluster.under("secrets") == {head(plans(cluster)[0].new)}


@pytest.mark.parametrize(("scene", "label", "nth"), BY_LABEL)
def test_r3_what_lands_when_a_server_let_go_brings_the_old_key_back_everywhere(
    scene: Scene, label: str, nth: int, tmp_path: Path
) -> None:
    cluster = scene.cluster(tmp_path)
    after(cluster, label, late(cluster), nth=nth)
    error = stops(cluster)
    assert_put_back(cluster, error)
    assert cluster.were_unreadable == {LATE}
    assert proofs_of(cluster)[-1] == "late"
    assert cluster.session().resume().state is State.RETIRED
    assert_done(cluster, scene)


@pytest.mark.parametrize("seconds", [1.0, 30.0, 59.0])
@pytest.mark.parametrize("scene", [BY_RESTART, BY_RELOAD], ids=lambda scene: scene.name)
def test_r3_what_lands_within_the_second_settle_brings_the_old_key_back_everywhere(
    scene: Scene, seconds: float, tmp_path: Path
) -> None:
    cluster = scene.cluster(tmp_path)
    land = late(cluster)
    after(cluster, "journal proof server", lambda: cluster.clock.at(seconds, land), nth=9)
    assert_put_back(cluster, stops(cluster))
    assert cluster.were_unreadable == {LATE}
    cluster.session().resume()
    assert_done(cluster, scene)


def test_r3_a_late_value_that_is_found_by_another_process_brings_the_old_key_back_too(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    land = late(cluster)
    with pytest.raises(StoppedError, match="paused"):
        begin(cluster.session(pause_after=State.RETIRING), ROTATE)
    land()
    with pytest.raises(StoppedError) as caught:
        cluster.session().resume()
    assert_put_back(cluster, caught.value)
    cluster.session().resume()
    assert_done(cluster, BY_RESTART)


def test_r3_another_process_puts_the_old_key_back_before_it_settles_or_moves_anything(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=EVERYTHING)
    # No LIST shows it: what finds it so early is the first scan.
    land, at_rest = cluster.hold_until_told("cp3", "gadgets.gone.example", "team-a", "late"), []
    after(cluster, "journal proof server", lambda: at_rest.append(True), nth=9)

    def pause() -> None:
        if at_rest:
            raise KeyboardInterrupt

    with pytest.raises(StoppedError, match="interrupted"):
        begin(cluster.session(pause=pause), ROTATE)
    land()
    with pytest.raises(StoppedError) as caught:
        cluster.session().resume()
    assert caught.value.rule == "R18"
    assert have_old_key(cluster) == [True] * 3
    (resumed,), (found,) = moments(cluster, kind="resume"), moments(cluster, of="late")
    assert (found - resumed).total_seconds() < 5


def test_r18_a_late_value_that_no_list_shows_is_found_by_the_last_scan(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=EVERYTHING)
    land = cluster.hold_until_told("cp3", "gadgets.gone.example", "team-a", "late")
    after(cluster, "journal proof server", land, nth=9)
    assert stops(cluster).rule == "R18"
    assert have_old_key(cluster) == [True] * 3
    assert not cluster.still_excused()
    assert "late" in proofs_of(cluster)
    assert "retired" not in proofs_of(cluster)


ALONE = Wish(Goal.ROTATE, allow_downtime=True)


def test_r3_a_single_server_that_does_not_come_up_for_a_late_value_gets_the_old_key_back(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, (Spec("cp1"),))
    after(cluster, "cp1: restart", cluster.hold_until_told("cp1", "secrets", "default", "late"), nth=3)
    assert_put_back(cluster, stops(cluster, ALONE))
    cluster.session().resume()
    assert_done(cluster, BY_RESTART)


def test_r3_a_single_server_that_is_down_for_a_late_value_gets_the_old_key_back_from_the_next_process(
    tmp_path: Path,
) -> None:
    cluster = SimCluster(tmp_path, (Spec("cp1"),))
    after(cluster, "cp1: restart", cluster.hold_until_told("cp1", "secrets", "default", "late"), nth=3)
    (restart,) = [number for number, label in enumerate(labels_of(tmp_path / "whole"), 1) if label == "cp1: restart"][
        2:
    ]
    assert kill(cluster, lambda: begin(cluster.session(), ALONE), restart, before=False)
    cluster.clock.advance(30)
    assert not cluster.server("cp1").ready
    while not ended(cluster):
        with suppress(StoppedError):
            cluster.session().resume()
    assert cluster.were_unreadable
    assert not cluster.still_excused()
    assert_done(cluster, BY_RESTART)


def labels_of(directory: Path) -> list[str]:
    """The effects of the rotation of a single server."""
    cluster = SimCluster(directory, (Spec("cp1"),))
    begin(cluster.session(), ALONE)
    return cluster.switch.labels


@pytest.mark.parametrize("scene", [BY_RESTART, BY_RELOAD], ids=lambda scene: scene.name)
def test_r3_killed_anywhere_while_the_old_key_is_put_back_it_is_put_back_all_the_same(
    scene: Scene, tmp_path: Path
) -> None:
    whole = scene.cluster(tmp_path / "whole")
    after(whole, "journal proof server", late(whole), nth=9)
    stops(whole)
    first = whole.switch.labels.index("journal proof late")
    for at in range(first, len(whole.switch.labels) + 1):
        cluster = scene.cluster(tmp_path / str(at))
        after(cluster, "journal proof server", late(cluster), nth=9)
        assert kill(cluster, lambda: begin(cluster.session(), ROTATE), at, before=at % 2 == 0)  # noqa: B023
        while not ended(cluster):
            with suppress(StoppedError):
                cluster.session().resume()
        assert not cluster.still_excused()
        assert_done(cluster, scene)


def test_r3_settled_again_it_lists_everything_through_every_server_and_scans_once_more(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    begin(cluster.session(), ROTATE)
    assert proofs_of(cluster) == ["switched", "verified", "history", "resecured", "retired"]
    *_, let_go = moments(cluster, kind="outcome", step="restart", stage="RETIRED")
    (retired,) = moments(cluster, of="retired")
    assert (retired - let_go).total_seconds() >= cluster.settle
    names = [r["server"] for r in cluster.journal().records() if r.get("of") == "server"]
    assert names[-3:] == ["cp1", "cp2", "cp3"]


# -- settle


@pytest.mark.parametrize(
    ("label", "nth", "proof"),
    [("journal outcome rewrite", 1, "verified"), ("journal proof server", 9, "retired")],
    ids=["before it leaves", "after it left"],
)
def test_r3_a_server_that_is_not_ready_while_it_settles_starts_the_settle_time_anew(
    label: str, nth: int, proof: str, tmp_path: Path
) -> None:
    cluster = SimCluster(tmp_path)
    cp2 = cluster.server("cp2")
    times: dict[str, float] = {}

    def come_back() -> None:
        cp2.ready = True
        times["back"] = cluster.clock.monotonic()

    def stall() -> None:
        # Its link to etcd hangs for a while, half way through settling.
        cluster.clock.at(30.0, lambda: setattr(cp2, "ready", False))
        cluster.clock.at(50.0, come_back)

    after(cluster, label, stall, nth=nth)
    before(cluster, f"journal proof {proof}", lambda: times.update(proven=cluster.clock.monotonic()))
    begin(cluster.session(), ROTATE)
    # It looks once a second.
    assert times["proven"] - times["back"] >= cluster.settle - 1
    assert_done(cluster, BY_RESTART)


def test_r3_a_write_that_hangs_with_its_server_for_longer_than_the_settle_time_is_waited_for(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    cp3 = cluster.server("cp3")
    land = late(cluster)

    def come_back() -> None:
        land()
        cp3.ready = True

    def stall() -> None:
        cluster.clock.at(1.0, lambda: setattr(cp3, "ready", False))
        cluster.clock.at(101.0, come_back)

    after(cluster, "journal proof switched", stall)
    assert begin(cluster.session(), ROTATE).state is State.RETIRED
    assert proofs_of(cluster).count("verified") == 1
    assert not cluster.were_unreadable
    assert_done(cluster, BY_RESTART)


# -- the ledger: since when and until when a key wrote


def test_the_ledger_is_told_by_which_revisions_the_new_key_wrote_and_the_old_one_did_not(tmp_path: Path) -> None:
    cluster = BY_RESTART.cluster(tmp_path)
    begin(cluster.session(), BY_RESTART.wish)
    proofs = {record["of"]: record for record in cluster.journal().records() if record["kind"] == "proof"}
    (plan,) = plans(cluster)
    lives = {record.ref: record for record in cluster.store_keys.records()}
    began, ended = lives[plan.new].first_write, lives[plan.old_refs[0]].last_write
    assert began is not None
    assert ended is not None
    assert (began.revision, began.at) == (proofs["switched"]["revision"], proofs["switched"]["at"])
    assert (ended.revision, ended.at) == (proofs["verified"]["revision"], proofs["verified"]["at"])
    assert began.revision <= ended.revision
    assert lives[plan.new].last_write is None
