"""Promise 1, and always a way on: killed before or after any effect, a rotation goes on and ends all the same.

The simulator checks after every effect and every step of its clock that every
server reads every value; here is only how it ends.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.support.simulator import SimCluster
from tests.unit.rotation.scenes import (
    SCENES,
    Scene,
    assert_done,
    begin,
    ended,
    go_on,
    kill,
    kill_points,
    skip_slow_parts,
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_slow_parts(monkeypatch)


def effects_of(scene: Scene, directory: Path) -> list[str]:
    cluster = scene.cluster(directory)
    begin(cluster.session(), scene.wish)
    assert_done(cluster, scene)
    return cluster.switch.labels


def one_process(cluster: SimCluster, scene: Scene, at: int, *, before: bool) -> bool:
    return kill(cluster, lambda: go_on(cluster, scene.wish), at, before=before)


# Their effects are those of another scene, with other values, or with another key.
EVERY_THIRD = {"rotate by restart", "rotate by reload", "change provider", "disable two keys", "from a KMS plugin"}


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_killed_once_before_or_after_any_effect_it_resumes_to_the_same_end(scene: Scene, tmp_path: Path) -> None:
    points = kill_points(effects_of(scene, tmp_path / "whole"))
    for at, before in itertools.islice(points, 0, None, 3 if scene.name in EVERY_THIRD else 1):
        cluster = scene.cluster(tmp_path / f"{at}-{before}")
        assert one_process(cluster, scene, at, before=before)
        if not ended(cluster):
            go_on(cluster, scene.wish)
        assert_done(cluster, scene)


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_one_rotation_killed_at_a_later_effect_each_time_still_ends(scene: Scene, before: bool, tmp_path: Path) -> None:
    cluster = scene.cluster(tmp_path)
    deaths = 0
    while not ended(cluster) and one_process(cluster, scene, deaths + 1, before=before):
        deaths += 1
    assert deaths > 20
    assert_done(cluster, scene)


def test_killed_while_others_write_no_write_is_lost_or_left_behind(tmp_path: Path) -> None:
    scene = SCENES[4]
    cluster = scene.cluster(tmp_path)
    cluster.write_now_and_then(period=0.7)
    for at in range(3, 60, 4):
        if not one_process(cluster, scene, at, before=at % 8 == 3):
            break
    if not ended(cluster):
        go_on(cluster, scene.wish)
    assert_done(cluster, scene)
