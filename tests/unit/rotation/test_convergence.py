"""Servers that do not report what they have loaded: reloads, starts and canaries stand for it (R2, R9)."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from keyctl.errors import RefusedError, StoppedError
from keyctl.rotation.plan import State
from tests.support.sim_parts import Watcher
from tests.support.sim_server import CONFIG_PATH, MANIFEST_PATH, Spec
from tests.support.sim_texts import SECRETS
from tests.support.simulator import THREE_RELOADING, THREE_RESTARTED, SimCluster
from tests.unit.rotation.refusals import refused
from tests.unit.rotation.scenes import (
    ROTATE,
    SCENES,
    Agree,
    Scene,
    Was,
    after,
    assert_back,
    assert_done,
    before,
    begin,
    ended,
    go_on,
    kill,
    kill_points,
    skip_slow_parts,
    stops,
)

OLD = "v1.33.13"


def old(specs: tuple[Spec, ...], version: str = OLD) -> tuple[Spec, ...]:
    return tuple(replace(spec, version=version) for spec in specs)


def loaded_by(cluster: SimCluster) -> list[tuple[object, object]]:
    """(server, what showed what it had loaded) of each proof of a server, in order."""
    return [(r["server"], r["loadedBy"]) for r in cluster.journal().records() if r.get("of") == "server"]


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_slow_parts(monkeypatch)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_every_rotation_is_carried_through_where_no_server_reports_a_hash(scene: Scene, tmp_path: Path) -> None:
    aged = replace(scene, specs=old(scene.specs))
    cluster = aged.cluster(tmp_path)
    begin(cluster.session(), scene.wish)
    assert_done(cluster, aged)
    reloading = {spec.name for spec in scene.specs if spec.reloads}
    kinds = set(loaded_by(cluster))
    assert {by for server, by in kinds if server in reloading} <= {"reload", "start"}
    assert {by for server, by in kinds if server not in reloading} <= {"start"}


@pytest.mark.parametrize("scene", SCENES[:5], ids=lambda scene: scene.name)
def test_there_a_rotation_is_taken_back_as_anywhere(scene: Scene, tmp_path: Path) -> None:
    aged = replace(scene, specs=old(scene.specs))
    cluster = aged.cluster(tmp_path)
    was = Was.of(cluster)
    with pytest.raises(StoppedError):
        begin(cluster.session(pause_after=State.REWRITING), scene.wish)
    cluster.session().abort(confirm=Agree())
    assert_back(cluster, was)


def test_servers_of_both_kinds_are_each_known_in_their_way(tmp_path: Path) -> None:
    mixed = replace(SCENES[2], specs=(Spec("cp1"), Spec("cp2"), Spec("cp3", reloads=True)))
    cluster = mixed.cluster(tmp_path)
    cluster.server("cp2").silent = cluster.server("cp3").silent = True
    begin(cluster.session(), ROTATE)
    assert_done(cluster, mixed)
    assert {by for server, by in loaded_by(cluster) if server == "cp1"} == {"hash"}
    assert {by for server, by in loaded_by(cluster) if server == "cp2"} == {"start"}
    assert {by for server, by in loaded_by(cluster) if server == "cp3"} == {"reload"}


def test_the_record_and_whoever_watches_are_told_what_showed_it(tmp_path: Path) -> None:
    cluster, watcher = SimCluster(tmp_path, old(THREE_RESTARTED)), Watcher()
    begin(cluster.session(watcher=watcher), ROTATE)
    proofs = [record for record in cluster.journal().records() if record.get("of") == "server"]
    assert all({"startTime", "reloads", "loaded", "canary"} <= proof.keys() for proof in proofs)
    last = [event for event in watcher.events if event.kind == "server"][-1]
    assert last.fields["loadedBy"] == "start"


@pytest.mark.parametrize("place", ["here", "elsewhere"])
def test_after_one_rotation_by_restart_the_next_one_knows_what_is_loaded_from_any_machine(
    place: str, tmp_path: Path
) -> None:
    cluster = SimCluster(tmp_path, old(THREE_RESTARTED))
    begin(cluster.session(), ROTATE)
    begin(cluster.session(place=place), ROTATE)


def test_after_one_rotation_by_reload_the_next_one_knows_it_from_the_journal(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, old(THREE_RELOADING))
    looks_soon = cluster.server("cp2").poll
    after(cluster, f"cp2: write {CONFIG_PATH}", lambda: cluster.clock.at(0.2, looks_soon), nth=3)
    begin(cluster.session(), ROTATE)
    with pytest.raises(RefusedError, match="nothing shows which configuration cp2 has loaded") as caught:
        begin(cluster.session(place="elsewhere"), ROTATE)
    assert "within 5 s of the last change" in (caught.value.cause or "")
    begin(cluster.session(), ROTATE)


# -- before anything is touched


def changed_since(cluster: SimCluster) -> None:
    cluster.server("cp2").host.place(CONFIG_PATH, SECRETS)


def just_restarted(cluster: SimCluster) -> None:
    cluster.server("cp2").host.place(CONFIG_PATH, SECRETS)
    cluster.clock.advance(1)
    cluster.server("cp2").restart()
    cluster.clock.advance(60)


def manifest_edited(cluster: SimCluster) -> None:
    host = cluster.server("cp2").host
    host.place(MANIFEST_PATH, host.files[MANIFEST_PATH].content)


def clocks_apart(cluster: SimCluster) -> None:
    cluster.server("cp2").ahead = 45.0


def no_times(cluster: SimCluster) -> None:
    host = cluster.server("cp2").host
    host.files = {path: replace(file, changed=None, ahead=None) for path, file in host.files.items()}


@pytest.mark.parametrize(
    ("arrange", "cause", "hint"),
    [
        (changed_since, "neither started nor reloaded since", "cp2: restart its kube-apiserver, then run this again"),
        (just_restarted, "within 5 s of the last change", "restart its kube-apiserver"),
        (manifest_edited, "its file or its manifest was last changed", "restart its kube-apiserver"),
        (clocks_apart, "differ by 45 s", "set both clocks"),
        (no_times, "does not tell when its files were last changed", "local or ssh"),
    ],
)
def test_what_a_server_has_loaded_is_not_guessed_at(
    arrange: Callable[[SimCluster], None], cause: str, hint: str, tmp_path: Path
) -> None:
    cluster = SimCluster(tmp_path, old(THREE_RESTARTED))
    arrange(cluster)
    error = refused(cluster)
    assert str(error) == "nothing shows which configuration cp2 has loaded"
    assert cause in (error.cause or "")
    assert hint in "".join(error.hints)


def test_none_of_that_matters_to_a_server_that_says_it_itself(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    for arrange in (just_restarted, manifest_edited, clocks_apart, no_times):
        arrange(cluster)
    begin(cluster.session(), ROTATE)


def test_reloads_that_are_never_told_are_not_waited_for(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, old(THREE_RELOADING, "v1.27.9"))
    error = refused(cluster)
    assert "v1.27.9, which does not tell when it has reloaded" in str(error)
    assert "activation of cp1 to restart" in error.hints[0]
    restarted = SimCluster(tmp_path / "restarted", old(THREE_RESTARTED, "v1.27.9"))
    begin(restarted.session(), ROTATE)


def test_nor_do_they_go_on_beside_the_restarts(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, old(THREE_RESTARTED, "v1.27.9"))
    host = cluster.server("cp2").host
    flag = f"--encryption-provider-config={CONFIG_PATH}".encode()
    reloading = flag + b"\n    - --encryption-provider-config-automatic-reload=true"
    host.place(MANIFEST_PATH, host.files[MANIFEST_PATH].content.replace(flag, reloading))
    cluster.server("cp2").restart()
    cluster.clock.advance(30)
    error = refused(cluster)
    assert "cp2 runs Kubernetes v1.27.9" in str(error)
    assert "automatic-reload out of its manifest" in error.hints[1]


# -- while it goes on


def test_a_canary_finds_a_server_that_started_without_reading_its_file(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, old(THREE_RESTARTED))
    cp2 = cluster.server("cp2")
    stale = cp2.config
    boot = cp2.boot

    def boot_with_what_was_mounted_before() -> None:
        boot()
        cp2.writes_as = stale

    with pytest.raises(StoppedError, match="paused"):
        begin(cluster.session(pause_after=State.READABLE), ROTATE)
    cp2.boot = boot_with_what_was_mounted_before  # type: ignore[method-assign]
    with pytest.raises(StoppedError, match="cp2 does not write with aescbc/key-"):
        cluster.session().resume()
    assert "journal intent switch" not in cluster.switch.labels
    assert cluster.server("cp3").host.restarts == 1, "the next server is not touched"


def test_a_killed_run_is_gone_on_with_and_no_server_is_restarted_for_what_was_known(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, old(THREE_RESTARTED))
    with pytest.raises(StoppedError, match="paused"):
        begin(cluster.session(pause_after=State.SWITCHED), ROTATE)
    restarts = [server.host.restarts for server in cluster.servers]
    with pytest.raises(StoppedError, match="paused"):
        cluster.session(pause_after=State.VERIFIED).resume()
    assert [server.host.restarts for server in cluster.servers] == restarts == [2, 2, 2]
    cluster.session().resume()
    assert_done(cluster, SCENES[2])


def test_where_nobody_knows_any_more_a_restart_settles_it(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, old(THREE_RESTARTED))
    label = "cp2: restart"
    cluster.switch.new_process(kill_at=None)
    before(cluster, label, cp_fails(cluster))
    assert stops(cluster).exit_code == 6
    cluster.server("cp2").host.fails = False
    cluster.session().resume()
    assert_done(cluster, SCENES[2])


def cp_fails(cluster: SimCluster) -> Callable[[], None]:
    return lambda: setattr(cluster.server("cp2").host, "fails", True)


@pytest.mark.parametrize("specs", [THREE_RELOADING, old(THREE_RELOADING)], ids=["hash", "reload"])
def test_a_file_that_a_server_refuses_to_reload_is_told_at_once_and_not_waited_out(
    specs: tuple[Spec, ...], tmp_path: Path
) -> None:
    cluster, watcher = SimCluster(tmp_path, specs), Watcher()
    cluster.wait = 600.0
    cluster.server("cp2").refusing = True
    begun = cluster.clock.monotonic()
    with pytest.raises(StoppedError, match="cp2 has not loaded the new configuration") as caught:
        begin(cluster.session(watcher=watcher), ROTATE)
    assert "it refused 2 reloads" in (caught.value.cause or "")
    assert "restart" not in " ".join(caught.value.hints), "it would not come up with that file"
    assert cluster.clock.monotonic() - begun < 200
    told = [event.message for event in watcher.events if "refused" in event.message]
    assert told == ["cp2 has refused to load the file; it looks at it again within a minute"]
    cluster.server("cp2").refusing = False
    cluster.session().resume()
    assert_done(cluster, SCENES[3])


def test_a_server_that_thinks_again_within_the_minute_is_not_given_up(tmp_path: Path) -> None:
    cluster, cp2 = SimCluster(tmp_path, THREE_RELOADING), None
    cp2 = cluster.server("cp2")
    cp2.refusing = True
    before(cluster, "journal state adding", lambda: cluster.clock.at(50, lambda: setattr(cp2, "refusing", False)))
    begin(cluster.session(), ROTATE)
    assert cp2.reload_failures == 1
    assert_done(cluster, SCENES[3])


def test_one_that_ignores_its_file_is_named_with_its_rule_and_that_a_restart_helps(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, THREE_RELOADING)
    cluster.server("cp2").lagging = True
    error = stops(cluster)
    assert error.rule == "R9"
    assert "it is ready with another configuration" in (error.cause or "")
    assert error.hints[-1] == "see the log of kube-apiserver on cp2 or restart it, then: keyctl rotate --resume"
    cluster.server("cp2").lagging = False
    cluster.server("cp2").restart()
    cluster.clock.advance(30)
    cluster.session().resume()
    assert_done(cluster, SCENES[3])


def test_one_that_never_reloads_is_waited_for_and_named_with_why_nothing_is_known(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, old(THREE_RELOADING))
    cluster.server("cp2").lagging = True
    error = stops(cluster)
    assert "cp2 has not loaded the new configuration after" in str(error)
    assert "it is ready with another configuration" in (error.cause or "")
    with pytest.raises(StoppedError) as caught:
        cluster.session(place="here").resume()
    assert "neither started nor reloaded" in (caught.value.cause or "") or "another" in (caught.value.cause or "")
    cluster.server("cp2").lagging = False
    cluster.session().resume()
    assert_done(cluster, SCENES[3])


@pytest.mark.parametrize("scene", [SCENES[0], SCENES[4]], ids=lambda scene: scene.name)
def test_killed_anywhere_it_goes_on_there_too(scene: Scene, tmp_path: Path) -> None:
    aged = replace(scene, specs=old(scene.specs))
    whole = aged.cluster(tmp_path / "whole")
    begin(whole.session(), scene.wish)
    labels = whole.switch.labels
    for at, first in itertools.islice(kill_points(labels), 0, None, 5):
        cluster = aged.cluster(tmp_path / f"{at}-{first}")
        assert kill(cluster, functools.partial(go_on, cluster, scene.wish), at, before=first)
        if not ended(cluster):
            go_on_with_help(cluster, aged)
        assert_done(cluster, aged)


def go_on_with_help(cluster: SimCluster, scene: Scene) -> None:
    """Go on; where a reload right after a write was not recorded, do what is said: restart that server."""
    try:
        go_on(cluster, scene.wish)
    except StoppedError as error:
        asked = [hint.partition(":")[0] for hint in error.hints if hint.endswith(": restart its kube-apiserver")]
        cluster.server(asked[0]).restart()
        cluster.clock.advance(30)
        go_on(cluster, scene.wish)


def test_a_reload_that_a_killed_run_did_not_record_is_settled_by_a_restart(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, old(THREE_RELOADING))
    looks_soon = cluster.server("cp2").poll
    label = f"cp2: write {CONFIG_PATH}"
    after(cluster, label, lambda: cluster.clock.at(0.0, looks_soon))
    cluster.switch.new_process()
    begun = begun_until(cluster, label)
    assert kill(cluster, lambda: begin(cluster.session(), ROTATE), begun, before=False)
    cluster.clock.advance(1)
    with pytest.raises(StoppedError, match="cp2 has not loaded") as caught:
        cluster.session().resume()
    assert "cp2: restart its kube-apiserver" in caught.value.hints
    cluster.server("cp2").restart()
    cluster.clock.advance(30)
    cluster.session().resume()
    assert_done(cluster, SCENES[3])


def begun_until(cluster: SimCluster, label: str) -> int:
    """The number of the effect `label` in a rotation of a cluster like this one."""
    other = SimCluster(cluster.directory / "other", tuple(server.spec for server in cluster.servers))
    begin(other.session(), ROTATE)
    return other.switch.labels.index(label) + 1
