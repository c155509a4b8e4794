"""The way back (R7): from every state, killed anywhere, while others write, all ends as it was, byte for byte."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from keyctl.errors import InterruptedEarlyError, RefusedError, StoppedError
from keyctl.rotation.plan import Goal, State
from keyctl.rotation.session import Finished
from tests.support.sim_parts import Watcher
from tests.support.sim_server import CONFIG_PATH, MANIFEST_PATH
from tests.support.simulator import SimCluster
from tests.unit.rotation.scenes import (
    ROTATE,
    SCENES,
    Agree,
    Scene,
    Was,
    after,
    assert_back,
    before,
    begin,
    ended,
    head,
    kill,
    kill_points,
    moments,
    plans,
    proofs_of,
    skip_slow_parts,
)

ENABLE_WITHOUT_FLAG, BY_RESTART, BY_RELOAD, MIXED_ROTATION = SCENES[0], SCENES[2], SCENES[3], SCENES[4]
DISABLE_BY_RESTART, DISABLE_BY_RELOAD = SCENES[7], SCENES[8]
# `enable` ends at verified.
LAST = {scene.name: State.REWRITING if scene.wish.goal is Goal.ENABLE else State.RETIRING for scene in SCENES}

EVERYWHERE = [
    pytest.param(scene, state, id=f"{scene.name}-{state}")
    for scene in SCENES
    for state in State
    if State.GENERATED.position <= state.position <= LAST[scene.name].position
]
LAST_STATES = [pytest.param(scene, LAST[scene.name], id=scene.name) for scene in SCENES]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_slow_parts(monkeypatch)


def abort(cluster: SimCluster, *, watcher: Watcher | None = None) -> Finished:
    return cluster.session(watcher=watcher).abort(confirm=Agree())


def go_back(cluster: SimCluster) -> Finished:
    """What a user does who wants to go back, after any stop: resume once the journal knows it, abort before that."""
    known = any(record["kind"] == "abort" for record in cluster.journal().unfinished())
    return cluster.session().resume() if known else abort(cluster)


def paused(cluster: SimCluster, scene: Scene, state: State) -> Was:
    """Begin, and stop in `state`; returns what was before."""
    was = Was.of(cluster)
    with pytest.raises(StoppedError, match="paused"):
        begin(cluster.session(pause_after=state), scene.wish)
    return was


def stopped_by(cluster: SimCluster, scene: Scene, label: str, nth: int = 1) -> Was:
    """Begin, and stop at the first chance after the `nth` effect of that label; returns what was before."""
    was, told = Was.of(cluster), []
    after(cluster, label, lambda: told.append(label), nth=nth)

    def pause() -> None:
        if told:
            raise KeyboardInterrupt

    with pytest.raises(StoppedError, match="interrupted"):
        begin(cluster.session(pause=pause), scene.wish)
    return was


def stages(cluster: SimCluster) -> list[int]:
    """The stage of the file on each server's disk."""
    (plan,) = plans(cluster)
    files = [(server.name, server.host.files.get(CONFIG_PATH)) for server in cluster.servers]
    found = [plan.server(name).stage_of(None if file is None else file.sha256) for name, file in files]
    return [-1 if stage is None else int(stage) for stage in found]


# -- from every state


@pytest.mark.parametrize(("scene", "state"), EVERYWHERE)
def test_r7_aborted_from_any_state_everything_is_as_it_was(scene: Scene, state: State, tmp_path: Path) -> None:
    cluster, watcher = scene.cluster(tmp_path), Watcher()
    was = paused(cluster, scene, state)
    cluster.clock.advance(600)
    finished = abort(cluster, watcher=watcher)
    assert finished.state is State.ABORTED
    assert set(watcher.states()) == {"aborting", "aborted"}
    assert_back(cluster, was)


@pytest.mark.parametrize("state", [State.PREFLIGHT, State.SECURED])
def test_before_anything_is_planned_there_is_nothing_to_abort(state: State, tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    with pytest.raises(StoppedError):
        begin(cluster.session(pause_after=state), ROTATE)
    with pytest.raises(RefusedError, match="under way"):
        abort(cluster)


@pytest.mark.parametrize("scene", [ENABLE_WITHOUT_FLAG, BY_RESTART], ids=lambda scene: scene.name)
def test_a_rotation_that_has_ended_cannot_be_aborted(scene: Scene, tmp_path: Path) -> None:
    cluster = scene.cluster(tmp_path)
    begin(cluster.session(), scene.wish)
    with pytest.raises(RefusedError, match="under way"):
        abort(cluster)


def test_not_confirmed_the_rotation_stays_where_it_is_and_goes_forward_when_resumed(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    paused(cluster, BY_RESTART, State.REWRITING)
    effects = len(cluster.switch.labels)
    with pytest.raises(InterruptedEarlyError):
        cluster.session().abort(confirm=lambda _: False)
    assert len(cluster.switch.labels) == effects
    assert cluster.session().resume().state is State.RETIRED


def test_an_enabled_cluster_gets_its_manifests_back_and_no_file_stays(tmp_path: Path) -> None:
    cluster = ENABLE_WITHOUT_FLAG.cluster(tmp_path)
    was = paused(cluster, ENABLE_WITHOUT_FLAG, State.REWRITING)
    assert all(len(server.host.files) == 3 for server in cluster.servers), "manifest, its copy, and the configuration"
    assert all("encryption-provider-config" in server.flags() for server in cluster.servers)
    abort(cluster)
    assert [set(server.host.files) for server in cluster.servers] == [{MANIFEST_PATH}] * 3
    assert not any("encryption-provider-config" in server.flags() for server in cluster.servers)
    assert_back(cluster, was)


def test_a_manifest_that_was_edited_since_is_not_overwritten(tmp_path: Path) -> None:
    cluster = ENABLE_WITHOUT_FLAG.cluster(tmp_path)
    was = paused(cluster, ENABLE_WITHOUT_FLAG, State.REWRITING)
    host = cluster.server("cp2").host
    edited = host.files[MANIFEST_PATH].content.replace(b"v1.37.1", b"v1.37.2")
    host.place(MANIFEST_PATH, edited)
    with pytest.raises(RefusedError, match="is not the manifest") as caught:
        abort(cluster)
    assert caught.value.rule == "R8"
    assert host.files[MANIFEST_PATH].content == edited
    host.place(MANIFEST_PATH, edited.replace(b"v1.37.2", b"v1.37.1"))
    cluster.session().resume()
    assert_back(cluster, was)


# -- killed on the way back


def aborted_from(scene: Scene, state: State, directory: Path) -> tuple[SimCluster, Was]:
    """A cluster at the beginning of its way back."""
    cluster = scene.cluster(directory)
    was = paused(cluster, scene, state)
    cluster.switch.labels.clear()
    return cluster, was


FARTHEST = [
    pytest.param(ENABLE_WITHOUT_FLAG, State.REWRITING, id=ENABLE_WITHOUT_FLAG.name),
    pytest.param(MIXED_ROTATION, State.RETIRING, id=MIXED_ROTATION.name),
    pytest.param(DISABLE_BY_RELOAD, State.RETIRING, id=DISABLE_BY_RELOAD.name),
]


@pytest.mark.parametrize(("scene", "state"), FARTHEST)
def test_an_abort_killed_before_or_after_any_effect_resumes_to_the_same_end(
    scene: Scene, state: State, tmp_path: Path
) -> None:
    cluster, was = aborted_from(scene, state, tmp_path / "whole")
    abort(cluster)
    assert_back(cluster, was)
    for at, early in kill_points(cluster.switch.labels):
        cluster, was = aborted_from(scene, state, tmp_path / f"{at}-{early}")
        assert kill(cluster, lambda: abort(cluster), at, before=early)  # noqa: B023
        if not ended(cluster):
            go_back(cluster)
        assert_back(cluster, was)


@pytest.mark.parametrize("early", [True, False], ids=["before", "after"])
@pytest.mark.parametrize(("scene", "state"), LAST_STATES)
def test_one_abort_killed_at_a_later_effect_each_time_still_ends(
    scene: Scene, state: State, early: bool, tmp_path: Path
) -> None:
    cluster, was = aborted_from(scene, state, tmp_path)
    deaths = 0
    while not ended(cluster) and kill(cluster, lambda: go_back(cluster), deaths + 1, before=early):
        deaths += 1
    assert deaths > 15
    assert_back(cluster, was)


# -- from the middle


@pytest.mark.parametrize("nth", [1, 2, 3, 4, 5, 6, 7, 8, 9])
@pytest.mark.parametrize("scene", [BY_RESTART, BY_RELOAD], ids=lambda scene: scene.name)
def test_aborted_with_servers_at_different_stages_everything_is_as_it_was(
    scene: Scene, nth: int, tmp_path: Path
) -> None:
    cluster = scene.cluster(tmp_path)
    was = stopped_by(cluster, scene, "journal outcome write-file", nth)
    (*behind, last) = sorted(stages(cluster), reverse=True)
    assert (sum(behind) + last, len(set(stages(cluster)))) == (nth, 1 if nth % 3 == 0 else 2)
    abort(cluster)
    assert_back(cluster, was)


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_an_enable_aborted_when_some_servers_have_the_flag_leaves_none_with_it(nth: int, tmp_path: Path) -> None:
    cluster = ENABLE_WITHOUT_FLAG.cluster(tmp_path)
    was = stopped_by(cluster, ENABLE_WITHOUT_FLAG, "journal outcome edit-manifest", nth)
    assert sum("encryption-provider-config" in server.flags() for server in cluster.servers) == nth
    abort(cluster)
    assert_back(cluster, was)


# -- while others write


@pytest.mark.parametrize("state", [State.ADDING, State.PROMOTING, State.REWRITING, State.RETIRING])
@pytest.mark.parametrize("scene", [BY_RESTART, BY_RELOAD, MIXED_ROTATION], ids=lambda scene: scene.name)
def test_aborted_while_others_write_no_value_stays_under_the_new_key(
    scene: Scene, state: State, tmp_path: Path
) -> None:
    cluster = scene.cluster(tmp_path)
    cluster.write_now_and_then(period=0.3)
    was = paused(cluster, scene, state)
    abort(cluster)
    assert_back(cluster, was)


@pytest.mark.parametrize("scene", [DISABLE_BY_RESTART, DISABLE_BY_RELOAD], ids=lambda scene: scene.name)
def test_a_disable_aborted_while_others_write_leaves_no_value_in_plaintext(scene: Scene, tmp_path: Path) -> None:
    cluster = scene.cluster(tmp_path)
    cluster.write_now_and_then(period=0.3)
    was = paused(cluster, scene, State.RETIRING)
    assert cluster.under("secrets") == {b"plaintext"}
    abort(cluster)
    assert was.heads["secrets"] == {b"k8s:enc:aescbc:v1:key1"}
    assert_back(cluster, was)


# -- the same proof as forward


def test_r7_the_new_key_leaves_by_the_same_proofs_as_an_old_one(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    was = paused(cluster, BY_RESTART, State.REWRITING)
    abort(cluster)
    assert proofs_of(cluster) == ["switched", "switched", "verified", "history", "gone"]
    assert_back(cluster, was)


@pytest.mark.parametrize("scene", [BY_RESTART, BY_RELOAD], ids=lambda scene: scene.name)
def test_r7_it_settles_before_the_new_key_leaves_and_once_more_after(scene: Scene, tmp_path: Path) -> None:
    cluster = scene.cluster(tmp_path)
    was = paused(cluster, scene, State.REWRITING)
    abort(cluster)
    (_, switched), (verified,) = moments(cluster, of="switched"), moments(cluster, of="verified")
    *_, let_go = moments(cluster, kind="outcome", step="write-file", stage="BASE")
    (gone,) = moments(cluster, of="gone")
    assert (verified - switched).total_seconds() >= cluster.settle
    assert (gone - let_go).total_seconds() >= cluster.settle
    assert_back(cluster, was)


def test_r7_before_anything_was_written_with_the_new_key_it_settles_once_more_after_all_the_same(
    tmp_path: Path,
) -> None:
    cluster = SimCluster(tmp_path)
    was = paused(cluster, BY_RESTART, State.READABLE)
    abort(cluster)
    *_, let_go = moments(cluster, kind="outcome", step="write-file", stage="BASE")
    assert (moments(cluster, of="gone")[0] - let_go).total_seconds() >= cluster.settle
    assert_back(cluster, was)


def test_r6_on_the_way_back_history_is_dealt_with_when_the_new_key_ever_wrote(tmp_path: Path) -> None:
    for state, compacted in ((State.READABLE, False), (State.PROMOTING, True)):
        cluster = SimCluster(tmp_path / state.value)
        was = paused(cluster, BY_RESTART, state)
        abort(cluster)
        assert (cluster.etcds["https://10.0.0.9:2379"].compacted > 0) is compacted
        assert_back(cluster, was)


# -- what lands late on the way back


def late_under_new_key(cluster: SimCluster) -> Callable[[], None]:
    """A create sealed by cp3 while the new key writes there."""
    return cluster.hold_until_told("cp3", "secrets", "default", "late")


def test_what_lands_under_the_new_key_before_it_leaves_is_rewritten(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    was = paused(cluster, BY_RESTART, State.REWRITING)
    land = late_under_new_key(cluster)
    before(cluster, "journal proof verified", land)
    assert abort(cluster).state is State.ABORTED
    assert not cluster.were_unreadable
    assert not cluster.still_excused()
    assert_back(cluster, was)


@pytest.mark.parametrize(
    ("label", "nth"),
    [
        pytest.param(f"cp1: write {CONFIG_PATH}", 2, id="between the guard and the first file"),
        pytest.param("cp1: restart", 2, id="when the first server has the old file on disk"),
        pytest.param("journal outcome restart", 4, id="when one server has let go"),
        pytest.param("journal outcome restart", 6, id="when the last server has let go"),
    ],
)
def test_what_lands_under_the_new_key_after_a_server_let_go_of_it_brings_the_key_back(
    label: str, nth: int, tmp_path: Path
) -> None:
    cluster = SimCluster(tmp_path)
    was = paused(cluster, BY_RESTART, State.REWRITING)
    (plan,) = plans(cluster)
    after(cluster, label, late_under_new_key(cluster), nth=nth)
    with pytest.raises(StoppedError) as caught:
        abort(cluster)
    assert caught.value.rule == "R3"
    assert stages(cluster) == [1, 1, 1], "the new key is a read key everywhere"
    assert not cluster.still_excused()
    assert cluster.under("secrets") == {b"k8s:enc:aescbc:v1:key1"}
    assert head(plan.new) not in cluster.under("secrets")
    cluster.session().resume()
    assert_back(cluster, was)


@pytest.mark.parametrize("nth", [4, 5, 6])
def test_what_keeps_a_server_without_the_flag_from_coming_up_brings_the_flag_back(nth: int, tmp_path: Path) -> None:
    cluster = ENABLE_WITHOUT_FLAG.cluster(tmp_path)
    was = paused(cluster, ENABLE_WITHOUT_FLAG, State.REWRITING)
    number = cluster.switch.labels.count("cp1: restart")
    assert number == 2
    after(cluster, f"cp{nth - 3}: restart", late_under_new_key(cluster), nth=2)
    with pytest.raises(StoppedError) as caught:
        abort(cluster)
    assert caught.value.rule == "R3"
    assert all("encryption-provider-config" in server.flags() for server in cluster.servers)
    assert cluster.were_unreadable
    assert not cluster.still_excused()
    assert cluster.under("secrets") == {b"plaintext"}
    cluster.session().resume()
    assert_back(cluster, was)


def test_the_ledger_says_by_when_a_key_that_was_given_up_did_not_write_any_more_and_not_that_it_does(
    tmp_path: Path,
) -> None:
    cluster = BY_RESTART.cluster(tmp_path)
    paused(cluster, BY_RESTART, State.SWITCHED)
    abort(cluster)
    (plan,) = plans(cluster)
    lives = {record.ref: record for record in cluster.store_keys.records()}
    given_up, kept = lives[plan.new], lives[plan.old_refs[0]]
    assert (given_up.first_write, kept.first_write, kept.last_write) == (None, None, None)
    assert given_up.last_write is not None
