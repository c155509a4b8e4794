"""A plugin that some server lacks, or whose key it lacks: found before a key leaves, and the way back ends (R16, R7).

Two keys under one id, which nothing but a value that is read back tells apart, are `SimServer.sealing_keys`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from keyctl.errors import RefusedError, StoppedError
from keyctl.kube.interface import MIGRATIONS
from keyctl.rotation import machine, readings
from keyctl.rotation.observation import Observation, ServerView
from keyctl.rotation.plan import Engine, Goal, Stage, State, Way
from keyctl.rotation.preflight import Wish
from keyctl.rotation.scan import scan
from keyctl.rotation.steps import Blocked, WriteFile
from tests.support import sim_server
from tests.support.sim_objects import SERVED, SimResource
from tests.support.sim_server import CONFIG_PATH, SimServer, Spec
from tests.support.sim_texts import KEY_0, SECRETS, Plugin, configuration
from tests.support.simulator import MIXED, THREE_RELOADING, THREE_RESTARTED, SimCluster
from tests.unit.rotation.refusals import refused
from tests.unit.rotation.scenes import TO_PLUGIN, Agree, Scene, Was, after, assert_back, assert_done, head, stops

CONFIGMAPS = configuration((("configmaps",), KEY_0))
WISH = replace(TO_PLUGIN, resources=("configmaps",))
STATIC, SEALED = head(KEY_0.ref), b"k8s:enc:kms:v2:vault"
KINDS = [THREE_RESTARTED, THREE_RELOADING, MIXED]
BY = ["by restart", "by reload", "mixed"]


def give_key(server: SimServer, key: str) -> None:
    """Its plugin has this key from now on, and names the same id; "" is the key of the other hosts."""
    server.sealing_keys["vault"] = key
    server.config = server.config.with_keys(server.sealing_keys)


def apart(cluster: SimCluster, name: str) -> None:
    """The plugin of `name` has a key of its own from now on: no law of the simulator holds for that server."""
    give_key(cluster.server(name), "other")
    cluster.broken.add(name)


def mended(cluster: SimCluster, name: str) -> None:
    give_key(cluster.server(name), "")
    cluster.server(name).try_again()
    cluster.broken.discard(name)


def patience() -> Callable[[], None]:
    """A pause for sessions that must end."""
    breaths = itertools.count()

    def breathe() -> None:
        assert next(breaths) < 3000, "it goes on without end"

    return breathe


def with_configmaps(directory: Path, specs: tuple[Spec, ...]) -> SimCluster:
    """A cluster of several values under a static key."""
    cluster = SimCluster(directory, specs, CONFIGMAPS)
    for number in range(5):
        cluster.create("configmaps", "default", f"more-{number}")
    return cluster


def values_under(cluster: SimCluster, prefix: bytes) -> int:
    """How many stored ConfigMaps begin with `prefix`."""
    found = [cluster.raw(one.resource, key) for key, one in cluster.objects.items() if one.resource == "configmaps"]
    return sum(stored is not None and stored[0].startswith(prefix) for stored in found)


def holds_static_key(cluster: SimCluster) -> bool:
    return all(b"aescbc" in server.host.files[CONFIG_PATH].content for server in cluster.servers)


def stopped_at_the_first_value(cluster: SimCluster, wish: Wish = WISH) -> None:
    error = stops(cluster, wish)
    assert isinstance(error, StoppedError)
    assert error.rule == "R16"
    assert "which is under a KMS plugin" in str(error)
    assert "or go back: keyctl rotate --abort" in " ".join(error.hints)
    assert values_under(cluster, SEALED) == 1
    assert holds_static_key(cluster)


@pytest.mark.parametrize("name", ["cp1", "cp2", "cp3"])
@pytest.mark.parametrize("specs", KINDS, ids=BY)
def test_r16_two_keys_under_one_id_are_found_by_the_first_value_and_an_abort_ends(
    specs: tuple[Spec, ...], name: str, tmp_path: Path
) -> None:
    cluster = with_configmaps(tmp_path, specs)
    was = Was.of(cluster)
    apart(cluster, name)
    if name == "cp1":
        cluster.broken |= {"cp2", "cp3"}  # It writes the first value, so these are the ones that do not read it.
    stopped_at_the_first_value(cluster)
    with pytest.raises(StoppedError, match="which is under a KMS plugin"):
        cluster.session(pause=patience()).resume()
    cluster.session(pause=patience()).abort(confirm=Agree())
    cluster.broken.clear()
    assert_back(cluster, was)


@pytest.mark.parametrize("engine", list(Engine))
@pytest.mark.parametrize("specs", KINDS, ids=BY)
def test_r16_with_its_plugin_mended_the_rotation_goes_on(
    specs: tuple[Spec, ...], engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    migrations = SimResource(MIGRATIONS, "storageversionmigrations", "storagemigration.k8s.io/v1", "Migration")
    monkeypatch.setattr(sim_server, "SERVED", SERVED | {MIGRATIONS: migrations})
    cluster = with_configmaps(tmp_path, specs)
    apart(cluster, "cp2")
    stopped_at_the_first_value(cluster, replace(WISH, engine=engine))
    mended(cluster, "cp2")
    cluster.session(pause=patience()).resume()
    assert_done(cluster, Scene("", specs, CONFIGMAPS, WISH, ("configmaps",)))


@pytest.mark.parametrize("specs", [THREE_RESTARTED, THREE_RELOADING], ids=BY[:2])
def test_r16_every_server_reads_what_was_rewritten_before_the_old_key_leaves_a_file(
    specs: tuple[Spec, ...], tmp_path: Path
) -> None:
    cluster = with_configmaps(tmp_path, specs)
    was = Was.of(cluster)
    # The first value was read back everywhere by then.
    after(cluster, "patch", partial(apart, cluster, "cp2"), nth=2)
    error = stops(cluster, WISH)
    assert "cp2 cannot read configmaps" in str(error)
    assert holds_static_key(cluster)
    assert "compact" not in cluster.switch.labels
    mended(cluster, "cp2")
    cluster.session(pause=patience()).abort(confirm=Agree())
    assert_back(cluster, was)


def test_r16_a_server_that_cannot_list_what_a_plugin_sealed_keeps_the_old_key_in_every_file(tmp_path: Path) -> None:
    cluster = with_configmaps(tmp_path, THREE_RELOADING)

    def refuse() -> None:
        cluster.server("cp2").list_problems["configmaps"] = "HTTP 500: no matching key"

    after(cluster, "journal state rewriting", refuse)
    error = stops(cluster, WISH)
    assert (str(error), error.rule) == ("cp2 cannot list configmaps", "R16")
    assert "verify-secrets" not in " ".join(error.hints)
    assert holds_static_key(cluster)
    assert "compact" not in cluster.switch.labels


def test_r10_no_server_is_restarted_that_would_not_come_up_for_want_of_the_plugins_key(tmp_path: Path) -> None:
    cluster = with_configmaps(tmp_path, THREE_RESTARTED)
    was = Was.of(cluster)
    with pytest.raises(StoppedError):
        cluster.session(pause_after=State.REWRITING).start(WISH, confirm=Agree())
    cluster.server("cp3").write(next(one for one in cluster.objects.values() if one.resource == "configmaps"))
    for name in ("cp1", "cp2"):
        apart(cluster, name)
    with pytest.raises(StoppedError, match="cp1 would not be ready after a restart") as caught:
        cluster.session(pause=patience()).abort(confirm=Agree())
    assert caught.value.rule == "R10"
    assert all(server.ready for server in cluster.servers)
    for name in ("cp1", "cp2"):
        mended(cluster, name)
    cluster.session(pause=patience()).resume()
    assert_back(cluster, was)


@pytest.mark.parametrize("after_it_was_loaded", [False, True])
@pytest.mark.parametrize("specs", [THREE_RESTARTED[:1], THREE_RELOADING[:1]], ids=BY[:2])
def test_r7_a_single_server_without_the_plugin_gets_its_file_back_without_it(
    specs: tuple[Spec, ...], after_it_was_loaded: bool, tmp_path: Path
) -> None:
    cluster = SimCluster(tmp_path, specs, SECRETS)
    was = Was.of(cluster)
    server = cluster.servers[0]
    wish = replace(TO_PLUGIN, allow_downtime=True)
    if after_it_was_loaded:
        with pytest.raises(StoppedError):
            cluster.session(pause_after=State.READABLE).start(wish, confirm=Agree())
        server.ready = False
    server.plugins_away = True
    if not after_it_was_loaded:
        stops(cluster, wish)
    cluster.session(pause=patience()).abort(confirm=Agree())
    assert b"kms" not in server.host.files[CONFIG_PATH].content
    assert_back(cluster, was)


def test_r7_a_reloading_server_that_lost_a_plugin_that_never_wrote_does_not_block_the_way_back(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, THREE_RELOADING, SECRETS)
    was = Was.of(cluster)
    with pytest.raises(StoppedError):
        cluster.session(pause_after=State.READABLE).start(TO_PLUGIN, confirm=Agree())
    server = cluster.server("cp2")
    server.plugins_away, server.ready = True, False
    cluster.session(pause=patience()).abort(confirm=Agree())
    assert_back(cluster, was)


@pytest.mark.parametrize("withdraws", [True, False])
def test_r11_a_server_that_is_down_blocks_unless_a_plugin_is_withdrawn_from_it(withdraws: bool) -> None:
    up = ServerView("cp1", True, True, Stage.ADDED, Stage.ADDED)
    down = ServerView("cp2", True, False, Stage.ADDED, None, problem="[-]kms-providers failed")
    step = machine.next_step(Observation((up, down), way=Way.BACK, withdraws=withdraws))
    assert step == WriteFile("cp2", Stage.BASE) if withdraws else isinstance(step, Blocked)


def test_r16_more_values_than_are_asked_for_stop_a_run_and_an_abort_ends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cluster = with_configmaps(tmp_path, THREE_RELOADING)
    was = Was.of(cluster)
    monkeypatch.setattr(readings, "scan", partial(scan, kms_limit=3))
    error = stops(cluster, WISH)
    assert error.rule == "R16"
    assert "too many to ask each server for each" in str(error)
    assert holds_static_key(cluster)
    cluster.session(pause=patience()).abort(confirm=Agree())
    assert_back(cluster, was)


@pytest.mark.parametrize(
    "wish", [Wish(Goal.ROTATE, resources=("configmaps",)), Wish(Goal.DISABLE, resources=("configmaps",))]
)
def test_r16_who_cannot_rotate_a_plugin_is_told_how_its_own_resource_leaves_it(wish: Wish, tmp_path: Path) -> None:
    text = configuration((("configmaps",), Plugin("vault")), (("secrets",), KEY_0))
    error = refused(SimCluster(tmp_path, config=text), wish)
    assert isinstance(error, RefusedError)
    assert "or leave the plugin: keyctl rotate --provider aescbc --resources configmaps" in error.hints
