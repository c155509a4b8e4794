"""A plan in a file: it is carried out while all that it was made from stands, and refused with what does not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from keyctl.errors import RefusedError, StoppedError, UnusableInputError
from keyctl.keys.key import Provider
from keyctl.rotation import agreed
from keyctl.rotation.agreed import AgreedPlan
from keyctl.rotation.plan import Goal, History, State
from keyctl.rotation.preflight import Wish, check
from keyctl.rotation.world import World
from tests.support.sim_parts import Watcher
from tests.support.sim_server import CONFIG_PATH, MANIFEST_PATH
from tests.support.sim_texts import EVERYTHING, KEY_0, KEY_1, SECRETS, secret_of
from tests.support.simulator import THREE_RELOADING, SimCluster
from tests.unit.rotation.refusals import refused
from tests.unit.rotation.scenes import ENABLE, ROTATE, SCENES, Scene, assert_done, plans

PLAN = AgreedPlan(
    cluster="prod",
    made="2026-11-21T10:15:00+00:00",
    wish=Wish(Goal.ROTATE, Provider.SECRETBOX, ("secrets",), history=History.WAIT, allow_downtime=True),
    lines=("Plan for prod", "  1 do it"),
    observed={"a": "sha256:00"},
)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_a_plan_that_went_through_a_file_is_carried_out(scene: Scene, tmp_path: Path) -> None:
    cluster = scene.cluster(tmp_path)
    text = cluster.session().agree(scene.wish).to_text()
    assert cluster.switch.labels == []
    plan = agreed.read(text.encode(), name="rotation.plan")
    cluster.session().start(plan.wish, confirm=lambda lines: lines == plan.lines, plan=plan)
    assert_done(cluster, scene)


def test_values_that_come_and_go_do_not_spoil_a_plan(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    plan = cluster.session().agree(ROTATE)
    cluster.create("secrets", "default", "came-later")
    cluster.session().start(plan.wish, confirm=lambda _: True, plan=plan)
    assert_done(cluster, SCENES[2])


def comment(cluster: SimCluster) -> None:
    for server in cluster.servers:
        server.host.place(CONFIG_PATH, SECRETS + b"# a comment\n")
        server.poll()


def another_manifest(cluster: SimCluster) -> None:
    host = cluster.server("cp2").host
    host.place(MANIFEST_PATH, host.files[MANIFEST_PATH].content + b"# a comment\n")


def observed_in(world: World) -> dict[str, str]:
    return agreed.observed(world, check(world, ROTATE, Watcher()))


def another_place_for_snapshots(world: World) -> World:
    return replace(world, snapshot_directory=world.snapshot_directory / "elsewhere")


def another_address(world: World) -> World:
    first, *others = world.servers
    return replace(world, servers=(replace(first, url_host="10.0.0.99"), *others))


def a_restored_etcd(world: World) -> World:
    etcd = world.etcds[0].etcd
    status = etcd.status
    restored = tuple(replace(member, cluster_id="c2") for member in status())
    etcd.status = lambda: restored  # type: ignore[method-assign]
    return world


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (another_place_for_snapshots, "place of snapshots was"),
        (another_address, "address of cp1 was 10.0.0.1 cp1 10.0.0.1, and is 10.0.0.99 cp1 10.0.0.1"),
        (a_restored_etcd, "members of the etcds was c1/m1, and is c2/m1"),
    ],
)
def test_a_plan_is_for_these_servers_these_etcds_and_this_place_of_snapshots(
    other: Callable[[World], World], named: str, tmp_path: Path
) -> None:
    cluster = SimCluster(tmp_path)
    plan = replace(PLAN, observed=observed_in(cluster.world()))
    agreed.require_the_same(plan, observed_in(cluster.world()))
    with pytest.raises(RefusedError, match=re.escape(named)):
        agreed.require_the_same(plan, observed_in(other(cluster.world())))


def test_what_is_installed_since_and_would_be_rewritten_by_a_wildcard_is_named(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=EVERYTHING)
    facts = check(cluster.world(), ROTATE, Watcher())
    before = replace(PLAN, observed=agreed.observed(cluster.world(), facts))
    more = replace(facts, served={**facts.served, "gadgets.example.com": "example.com/v1"})
    with pytest.raises(RefusedError, match=r"resource gadgets\.example\.com was none, and is changes"):
        agreed.require_the_same(before, agreed.observed(cluster.world(), more))


def test_while_a_rotation_is_under_way_no_plan_of_another_one_is_made(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    with pytest.raises(StoppedError):
        cluster.session(pause_after=State.READABLE).start(ROTATE, confirm=lambda _: True)
    effects = list(cluster.switch.labels)
    with pytest.raises(RefusedError, match="a rotation of this cluster is under way") as caught:
        cluster.session().agree(ROTATE)
    assert caught.value.rule == "R8"
    assert plans(cluster)[0].rotation in (caught.value.cause or "")
    assert cluster.switch.labels == effects


def test_a_file_that_does_not_let_itself_be_changed_is_told_by_the_plan_and_before_anything_is_touched(
    tmp_path: Path,
) -> None:
    tagged = SECRETS.replace(b'["secrets"]', b'[!!str "secrets"]')
    cluster = SimCluster(tmp_path, config=tagged)
    assert "uses YAML anchors, aliases or tags" in str(refused(cluster))
    with pytest.raises(RefusedError, match="uses YAML anchors") as caught:
        cluster.session().agree(ROTATE)
    assert caught.value.rule == "preflight"


def never(_: tuple[str, ...]) -> bool:
    raise AssertionError("nobody is asked")


@pytest.mark.parametrize(
    ("arrange", "named"),
    [
        pytest.param(comment, f"{CONFIG_PATH} on cp1 was sha256:", id="file"),
        pytest.param(another_manifest, f"{MANIFEST_PATH} on cp2 was sha256:", id="manifest"),
    ],
)
def test_what_changed_since_is_named_and_nothing_is_touched(
    arrange: Callable[[SimCluster], None], named: str, tmp_path: Path
) -> None:
    cluster = SimCluster(tmp_path, THREE_RELOADING)
    plan = cluster.session().agree(ROTATE)
    arrange(cluster)
    with pytest.raises(RefusedError, match="no longer fits") as caught:
        cluster.session().start(plan.wish, confirm=never, plan=plan)
    assert caught.value.rule == "R8"
    assert named in f"{caught.value} {caught.value.cause}"
    assert cluster.switch.labels == []


@pytest.mark.parametrize(
    ("before", "now", "message"),
    [
        ({"a": "1", "b": "2"}, {"a": "1"}, "b was 2, and is none"),
        ({"a": "1"}, {"a": "1", "b": "2"}, "b was none, and is 2"),
        (
            {"a": "sha256:" + "0" * 64},
            {"a": "sha256:" + "1" * 64},
            f"a was sha256:{'0' * 12}, and is sha256:{'1' * 12}",
        ),
    ],
)
def test_each_difference_counts(before: dict[str, str], now: dict[str, str], message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        agreed.require_the_same(replace(PLAN, observed=before), now)


def test_of_many_differences_the_first_are_named_and_the_rest_counted() -> None:
    now = dict.fromkeys("abcde", "new")
    with pytest.raises(RefusedError, match="a was sha256:00, and is new") as caught:
        agreed.require_the_same(PLAN, now)
    assert caught.value.cause == "b was none, and is new; c was none, and is new; and 2 more"


def test_the_same_is_the_same() -> None:
    agreed.require_the_same(PLAN, dict(PLAN.observed))


def test_a_plan_comes_back_from_its_text() -> None:
    assert agreed.read(PLAN.to_text().encode(), name="p") == PLAN
    bare = replace(PLAN, wish=Wish(Goal.ROTATE))
    assert agreed.read(bare.to_text().encode(), name="p") == bare


@pytest.mark.parametrize(
    "word", ['"secretbox"', '"wait"', '"secrets"', '"allowDowntime": true', '"  1 do it"', '"prod"']
)
def test_a_plan_that_was_edited_is_refused(word: str) -> None:
    other = {'"secretbox"': '"aesgcm"', '"wait"': '"ignore"', '"allowDowntime": true': '"allowDowntime": false'}
    text = PLAN.to_text()
    assert word in text
    edited = text.replace(word, other.get(word, '"another"'), 1)
    with pytest.raises(UnusableInputError, match="was changed after it was made"):
        agreed.read(edited.encode(), name="p")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b"null",
        b"[" * 100_000,
        SECRETS,
        PLAN.to_text().replace('"RotationPlan"', '"VerifyReport"').encode(),
        PLAN.to_text().replace('"rotate"', '"repair"').encode(),
        json.dumps({**json.loads(PLAN.to_text()), "observed": []}).encode(),
    ],
)
def test_what_is_no_plan_is_refused_by_name(content: bytes) -> None:
    with pytest.raises(UnusableInputError, match=r"^rotation\.plan is no plan of a rotation$"):
        agreed.read(content, name="rotation.plan")


@pytest.mark.parametrize("wish", [ROTATE, ENABLE], ids=["rotate", "enable"])
def test_a_plan_holds_no_key(wish: Wish, tmp_path: Path) -> None:
    config = None if wish is ENABLE else SECRETS
    text = SimCluster(tmp_path, config=config).session().agree(wish).to_text()
    for key in (KEY_0, KEY_1):
        assert secret_of(key) not in text
        assert key.material.hex() not in text
