"""What a run that goes on looks at again before it goes on, and what it says of the place where it stops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from keyctl.errors import RefusedError, StoppedError
from keyctl.keys.key import KeyRef
from keyctl.rotation.plan import State, Way
from keyctl.rotation.world import World
from tests.support.hints import wrong_commands
from tests.support.sim_server import CONFIG_PATH, MANIFEST_PATH, Spec
from tests.support.sim_texts import KEY_1, configuration
from tests.support.simulator import THREE_RELOADING, THREE_RESTARTED, SimCluster
from tests.unit.rotation.scenes import (
    ENABLE,
    ROTATE,
    SCENES,
    Agree,
    Was,
    after,
    assert_back,
    assert_done,
    begin,
    have_old_key,
    plans,
    proofs_of,
    skip_slow_parts,
    stops,
)

ENABLE_WITHOUT_FLAG, BY_RESTART = SCENES[0], SCENES[2]
SECRETS_AND_CONFIGMAPS = configuration((("secrets", "configmaps"), KEY_1))
EACH_WAY = pytest.mark.parametrize(
    "specs", [pytest.param(THREE_RESTARTED, id="restart"), pytest.param(THREE_RELOADING, id="reload")]
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_slow_parts(monkeypatch)


def started(cluster: SimCluster, state: State) -> StoppedError:
    """Rotate until `state`; returns what stopped it there."""
    with pytest.raises(StoppedError, match="paused") as caught:
        begin(cluster.session(pause_after=state), ROTATE)
    return caught.value


# -- the etcds


def forget_overrides(cluster: SimCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the cluster file lists the main etcd only."""
    full = cluster.world

    def world(*, place: str = "here") -> World:
        found = full(place=place)
        return replace(found, etcds=found.etcds[:1])

    monkeypatch.setattr(cluster, "world", world)


@EACH_WAY
@pytest.mark.parametrize("state", [State.ADDING, State.SWITCHED, State.RESECURED, State.RETIRING])
def test_r3_resuming_without_an_etcd_that_the_servers_use_is_refused(
    state: State, specs: tuple[Spec, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = SimCluster(tmp_path, specs, SECRETS_AND_CONFIGMAPS, overrides=("configmaps",))
    started(cluster, state)
    had, begun = have_old_key(cluster), len(cluster.switch.labels)
    with monkeypatch.context() as patched:
        forget_overrides(cluster, patched)
        with pytest.raises(RefusedError, match="another etcd"):
            cluster.session().resume()
        with pytest.raises(RefusedError, match="another etcd"):
            cluster.session().abort(confirm=Agree())
    assert cluster.switch.labels[begun:] == []
    assert have_old_key(cluster) == had
    cluster.session().resume()
    assert cluster.under("configmaps") == cluster.under("secrets")


def give_override(cluster: SimCluster, name: str) -> Callable[[], None]:
    """Somebody else tells a server to keep its events in an etcd that keyctl does not know."""

    def act() -> None:
        host = cluster.server(name).host
        text = host.files[MANIFEST_PATH].content
        flag = b"    - --etcd-prefix=/registry\n"
        assert flag in text
        override = b"    - --etcd-servers-overrides=/events#https://10.0.0.7:2379\n"
        host.place(MANIFEST_PATH, text.replace(flag, flag + override))

    return act


@EACH_WAY
@pytest.mark.parametrize("label", ["journal state adding", "journal state rewriting", "journal proof verified"])
def test_r3_an_etcd_that_a_server_is_given_in_mid_rotation_stops_it_before_any_file_loses_the_key(
    label: str, specs: tuple[Spec, ...], tmp_path: Path
) -> None:
    cluster = SimCluster(tmp_path, specs)
    after(cluster, label, give_override(cluster, "cp3"))
    error = stops(cluster)
    assert isinstance(error, RefusedError)
    assert "cp3 keeps events in another etcd" in str(error)
    assert have_old_key(cluster) == [True] * 3
    assert not {"history", "resecured"} & set(proofs_of(cluster))


# -- the flag


@pytest.mark.parametrize("state", [State.SWITCHED, State.REWRITING])
@pytest.mark.parametrize("specs", [(Spec("cp1"),), THREE_RESTARTED], ids=["one server", "three servers"])
@pytest.mark.parametrize("way", [Way.FORWARD, Way.BACK])
def test_a_server_that_lost_its_flag_meanwhile_gets_it_back_whichever_way_it_goes(
    way: Way, specs: tuple[Spec, ...], state: State, tmp_path: Path
) -> None:
    cluster = SimCluster(tmp_path, specs, None)
    was = Was.of(cluster)
    last = cluster.servers[-1]
    manifest = last.host.files[MANIFEST_PATH].content
    with pytest.raises(StoppedError, match="paused"):
        begin(cluster.session(pause_after=state), replace(ENABLE, allow_downtime=True))
    # An upgrade of the control plane writes the manifest anew; what that breaks is not keyctl's doing.
    cluster.excused.add(last.name)
    last.host.place(MANIFEST_PATH, manifest)
    last.restart()
    cluster.clock.advance(20)
    if way is Way.BACK:
        assert cluster.session().abort(confirm=Agree()).state is State.ABORTED
        assert_back(cluster, was)
        return
    assert cluster.session().resume().state is State.VERIFIED
    cluster.excused.clear()
    cluster.check_promise()
    assert b"--encryption-provider-config=" in last.host.files[MANIFEST_PATH].content
    assert_done(cluster, ENABLE_WITHOUT_FLAG)


# -- the keys


def lose(cluster: SimCluster, ref: KeyRef) -> None:
    """The key store does not have that key any more."""
    del cluster.store_keys._keys[ref]


@pytest.mark.parametrize("which", ["old", "new"])
@pytest.mark.parametrize("state", [State.ADDING, State.REWRITING, State.RETIRING])
def test_r5_a_key_that_the_store_lost_is_imported_again_from_a_servers_file(
    state: State, which: str, tmp_path: Path
) -> None:
    cluster = SimCluster(tmp_path)
    started(cluster, state)
    ref = KEY_1.ref if which == "old" else plans(cluster)[0].new
    kept = cluster.store_keys.get(ref)
    lose(cluster, ref)
    assert cluster.session().resume().state is State.RETIRED
    assert cluster.store_keys.get(ref) == kept
    assert_done(cluster, BY_RESTART)


def test_r5_a_key_that_neither_the_store_nor_any_file_has_stops_the_run(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    at_rest: list[bool] = []
    after(cluster, "journal proof server", lambda: at_rest.append(True), nth=9)

    def pause() -> None:
        if at_rest:
            raise KeyboardInterrupt

    with pytest.raises(StoppedError, match="interrupted"):
        begin(cluster.session(pause=pause), ROTATE)
    lose(cluster, KEY_1.ref)
    begun = len(cluster.switch.labels)
    with pytest.raises(RefusedError, match="nor does any server's file") as caught:
        cluster.session().resume()
    assert caught.value.rule == "R5"
    assert cluster.switch.labels[begun:] == []


# -- where it stands


def stopped_by_ctrl_c(cluster: SimCluster, label: str, nth: int) -> tuple[str, ...]:
    """The hints of a rotation that is interrupted after the `nth` effect of that label."""
    asked: list[bool] = []
    after(cluster, label, lambda: asked.append(True), nth=nth)

    def pause() -> None:
        if asked:
            raise KeyboardInterrupt

    with pytest.raises(StoppedError, match="interrupted") as caught:
        begin(cluster.session(pause=pause), ROTATE)
    return caught.value.hints


def assert_no_place_to_stay(hints: tuple[str, ...]) -> None:
    text = "\n".join(hints)
    assert "safe" not in text
    assert "go on soon" in text
    assert "keyctl rotate --resume" in text
    assert "keyctl rotate --abort" in text
    assert wrong_commands(text) == []


@EACH_WAY
@pytest.mark.parametrize(
    ("label", "nth"),
    [
        pytest.param(f"cp1: write {CONFIG_PATH}", 3, id="the first file without the old key"),
        pytest.param("journal outcome write-file", 9, id="the last file without the old key"),
        pytest.param("journal proof server", 9, id="while the second settle time runs"),
    ],
)
def test_interrupted_between_the_first_file_without_the_old_key_and_the_last_proof_it_does_not_call_that_safe(
    label: str, nth: int, specs: tuple[Spec, ...], tmp_path: Path
) -> None:
    cluster = SimCluster(tmp_path, specs)
    assert_no_place_to_stay(stopped_by_ctrl_c(cluster, label, nth))


@EACH_WAY
@pytest.mark.parametrize(
    ("label", "nth"),
    [("journal outcome write-file", 1), ("journal outcome write-file", 6), ("journal state rewriting", 1)],
)
def test_interrupted_while_every_server_has_every_key_it_says_that_this_is_safe(
    label: str, nth: int, specs: tuple[Spec, ...], tmp_path: Path
) -> None:
    text = "\n".join(stopped_by_ctrl_c(SimCluster(tmp_path, specs), label, nth))
    assert "safe for as long as you like" in text
    assert "keyctl rotate --abort" in text


@EACH_WAY
def test_paused_in_retiring_it_does_not_call_that_safe_and_in_resecured_it_does(
    specs: tuple[Spec, ...], tmp_path: Path
) -> None:
    cluster = SimCluster(tmp_path, specs)
    assert "safe for as long as you like" in "\n".join(started(cluster, State.RESECURED).hints)
    with pytest.raises(StoppedError, match="paused in state retiring") as caught:
        cluster.session(pause_after=State.RETIRING).resume()
    assert_no_place_to_stay(caught.value.hints)


@EACH_WAY
@pytest.mark.parametrize("state", [State.RETIRING, State.VERIFIED])
def test_r3_no_pause_keeps_a_value_from_getting_its_key_back(
    state: State, specs: tuple[Spec, ...], tmp_path: Path
) -> None:
    cluster = SimCluster(tmp_path, specs)
    land = cluster.hold_until_told("cp3", "secrets", "default", "late")
    started(cluster, State.RETIRING)
    # Time for a server that loads by itself.
    cluster.clock.advance(120)
    land()
    assert cluster.still_excused()
    with pytest.raises(StoppedError) as caught:
        cluster.session(pause_after=state).resume()
    assert caught.value.rule == "R3"
    assert have_old_key(cluster) == [True] * 3
    assert not cluster.still_excused()
