"""Promise 1, and always a way on: killed before or after any effect, a rotation goes on and ends all the same.

The simulator checks after every effect and every step of its clock that every
server reads every value; here is only how it ends.
"""

from __future__ import annotations

import functools
import importlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyctl import documents
from keyctl.hosts import manifests
from tests.support.sim_kill import Killed
from tests.support.simulator import SimCluster
from tests.unit.rotation.scenes import SCENES, Scene, assert_done, begin, go_on


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what takes most of the time here: syncing, for power cuts, and parsing the same text again."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    parse = functools.cache(documents.parse)
    monkeypatch.setattr(manifests, "parse", parse)
    monkeypatch.setattr(importlib.import_module("keyctl.encryption_config.decode"), "parse", parse)


def effects_of(scene: Scene, directory: Path) -> int:
    cluster = scene.cluster(directory)
    begin(cluster.session(), scene.wish)
    assert_done(cluster, scene)
    return len(cluster.switch.labels)


def kill(cluster: SimCluster, scene: Scene, at: int, *, before: bool) -> bool:
    """One process, killed at an effect; False when it survived because there was none."""
    cluster.switch.new_process(kill_at=at, before=before)
    try:
        go_on(cluster, scene.wish)
    except Killed:
        cluster.clock.after_step()
        cluster.switch.new_process()
        return True
    return False


def everywhere(scene: Scene, directory: Path) -> Iterator[tuple[int, bool]]:
    return itertools.product(range(1, effects_of(scene, directory / "whole") + 1), (True, False))


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_killed_once_before_or_after_any_effect_it_resumes_to_the_same_end(scene: Scene, tmp_path: Path) -> None:
    for at, before in everywhere(scene, tmp_path):
        cluster = scene.cluster(tmp_path / f"{at}-{before}")
        assert kill(cluster, scene, at, before=before)
        if cluster.journal().unfinished() or not any(r["kind"] == "end" for r in cluster.journal().records()):
            go_on(cluster, scene.wish)
        assert_done(cluster, scene)


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_one_rotation_killed_at_a_later_effect_each_time_still_ends(scene: Scene, before: bool, tmp_path: Path) -> None:
    cluster = scene.cluster(tmp_path)
    deaths = 0
    while kill(cluster, scene, deaths + 1, before=before):
        deaths += 1
        if any(record["kind"] == "end" for record in cluster.journal().records()):
            break
    assert deaths > 20
    assert_done(cluster, scene)


def test_killed_while_others_write_no_write_is_lost_or_left_behind(tmp_path: Path) -> None:
    scene = SCENES[4]
    cluster = scene.cluster(tmp_path)
    cluster.write_now_and_then(period=0.7)
    for at in range(3, 60, 4):
        if not kill(cluster, scene, at, before=at % 8 == 3):
            break
    if cluster.journal().unfinished():
        go_on(cluster, scene.wish)
    assert_done(cluster, scene)
