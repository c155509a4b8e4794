"""From static keys to a KMS v2 plugin and back: what is asked, what is refused, and when it stops (R16).

That both ways end, also killed at every effect, and lead back from every state: test_kill and test_abort.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from keyctl.encryption_config.plugin import Plugin as Wished
from keyctl.encryption_config.plugin import plugin_from_record
from keyctl.errors import RefusedError, StoppedError, UnusableInputError
from keyctl.keys.key import Provider
from keyctl.rotation import agreed, plugin_moves
from keyctl.rotation.plan import Goal, State, plan_from_record
from keyctl.rotation.preflight import Wish
from tests.support.sim_server import CONFIG_PATH, SimApi, Spec
from tests.support.sim_texts import (
    EVERYTHING,
    KEY_0,
    KMS_CONFIGMAPS,
    KMS_SECRETS,
    SECRETS,
    Plugin,
    configuration,
)
from tests.support.simulator import MIXED, THREE_RELOADING, THREE_RESTARTED, SimCluster
from tests.unit.rotation.refusals import refused
from tests.unit.rotation.scenes import (
    FROM_PLUGIN,
    SCENES,
    TO_PLUGIN,
    Agree,
    Scene,
    Was,
    assert_back,
    assert_done,
    before,
    begin,
    stops,
)

THERE, BACK = SCENES[-2], SCENES[-1]


def config_of(cluster: SimCluster) -> list[dict[str, object]]:
    """The providers of the first entry, which all files have."""
    texts = [server.host.files[CONFIG_PATH].content for server in cluster.servers]
    first, *rest = [yaml.safe_load(text)["resources"][0]["providers"] for text in texts]
    assert isinstance(first, list)
    assert all(other == first for other in rest)
    return first


@pytest.mark.parametrize("specs", [THREE_RESTARTED, THREE_RELOADING], ids=["by restart", "by reload"])
def test_r16_there_and_back_every_secret_is_as_it_was(specs: tuple[Spec, ...], tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, specs, SECRETS)
    objects = dict(cluster.objects)
    begin(cluster.session(), replace(TO_PLUGIN, plugin=Wished("vault", "unix:///run/kms/vault.sock", "5s")))
    assert cluster.under("secrets") == {b"k8s:enc:kms:v2:vault"}
    kms, identity = config_of(cluster)
    assert kms == {
        "kms": {"apiVersion": "v2", "name": "vault", "endpoint": "unix:///run/kms/vault.sock", "timeout": "5s"}
    }
    assert identity == {"identity": {}}
    finished = begin(cluster.session(), FROM_PLUGIN)
    assert cluster.under("secrets") == {f"k8s:enc:aescbc:v1:{finished.plan.new.name}".encode()}
    assert "kms" not in str(config_of(cluster))
    assert cluster.objects == objects


def test_r16_an_abort_puts_a_plugin_back_that_has_left_already(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, MIXED, KMS_SECRETS.replace(b".sock\n", b".sock\n          timeout: 7s\n"))
    was = config_of(cluster)
    after_first = "cp1: write /etc/kubernetes/enc/enc.yaml"
    assert after_first in begin_until_retiring(cluster)
    cluster.session().abort(confirm=Agree())
    assert config_of(cluster) == was
    assert cluster.under("secrets") == {b"k8s:enc:kms:v2:vault"}


def begin_until_retiring(cluster: SimCluster) -> list[str]:
    with pytest.raises(StoppedError):
        cluster.session(pause_after=State.RETIRING).start(FROM_PLUGIN, confirm=Agree())
    return cluster.switch.labels


@pytest.mark.parametrize(
    ("wish", "says"),
    [(TO_PLUGIN, True), (FROM_PLUGIN, False)],
    ids=["towards a plugin", "away from one"],
)
def test_r16_the_plan_says_what_a_plugin_costs_before_anything_is_touched(
    wish: Wish, says: bool, tmp_path: Path
) -> None:
    cluster = SimCluster(tmp_path, config=SECRETS if says else KMS_SECRETS)
    lines = "\n".join(cluster.session().agree(wish).lines)
    assert all(line in lines for line in plugin_moves.TRADE_OFF) is says
    assert ("make a new aescbc key" in lines) is not says
    assert ("keep both" in lines) is not says
    assert "key store's copy of kms" not in lines
    assert cluster.switch.labels == []


def test_r16_plugins_with_different_keys_never_write(tmp_path: Path) -> None:
    cluster = THERE.cluster(tmp_path)
    cluster.server("cp3").plugin_keys["vault"] = "sha256:other"
    error = stops(cluster, TO_PLUGIN)
    assert isinstance(error, StoppedError)
    assert error.rule == "R16"
    assert str(error) == "the plugins vault on the hosts have different keys"
    assert cluster.under("secrets") == {b"k8s:enc:aescbc:v1:key1"}
    cluster.server("cp3").plugin_keys.clear()
    cluster.session().resume()
    assert_done(cluster, THERE)


def test_r16_a_plugin_whose_key_nobody_names_does_not_write(tmp_path: Path) -> None:
    cluster = THERE.cluster(tmp_path)
    cluster.server("cp2").plugin_keys["vault"] = ""
    error = stops(cluster, TO_PLUGIN)
    assert "cp2 does not say which key its plugin vault has" in str(error)
    assert cluster.under("secrets") == {b"k8s:enc:aescbc:v1:key1"}


def test_r16_a_server_that_writes_with_another_key_than_the_plugin_is_found_by_its_canary(tmp_path: Path) -> None:
    cluster = Scene("by reload", THREE_RELOADING, SECRETS, TO_PLUGIN).cluster(tmp_path)
    server = cluster.server("cp2")
    seen: list[str] = []

    def keep_the_old_one() -> None:
        seen.append("here")
        server.writes_as = server.config

    before(cluster, f"cp2: write {CONFIG_PATH}", keep_the_old_one, nth=2)
    error = stops(cluster, TO_PLUGIN)
    assert seen
    assert "cp2 does not write with kms/vault" in str(error)


@pytest.mark.parametrize("specs", [THREE_RESTARTED, THREE_RELOADING], ids=["by restart", "by reload"])
def test_r16_a_host_without_the_plugin_stops_it_and_both_ways_are_open(specs: tuple[Spec, ...], tmp_path: Path) -> None:
    scene = Scene("", specs, SECRETS, TO_PLUGIN)
    for number, name in enumerate(("cp1", "cp3")):
        cluster = scene.cluster(tmp_path / str(number))
        was = Was.of(cluster)
        cluster.server(name).plugins_away = True
        assert isinstance(stops(cluster, TO_PLUGIN), StoppedError)
        assert cluster.under("secrets") == {b"k8s:enc:aescbc:v1:key1"}
        if name == "cp1":
            cluster.session().abort(confirm=Agree())
            assert_back(cluster, was)
        else:
            cluster.server(name).plugins_away = False
            cluster.session().resume()
            assert_done(cluster, scene)


def test_r7_a_plugin_that_has_written_is_waited_for_on_the_way_back(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, THREE_RESTARTED, SECRETS)
    was = Was.of(cluster)
    with pytest.raises(StoppedError):
        cluster.session(pause_after=State.SWITCHED).start(TO_PLUGIN, confirm=Agree())
    cluster.create("secrets", "default", "made-since")
    cluster.server("cp2").plugins_away = True
    with pytest.raises(StoppedError, match="cp2 has not loaded"):
        cluster.session().abort(confirm=Agree())
    breaths = itertools.count()

    def patience() -> None:
        assert next(breaths) < 2000, "it goes on without end"

    with pytest.raises(StoppedError, match="cp2 has not loaded"):
        cluster.session(pause=patience).resume()
    assert b"kms" in cluster.server("cp2").host.files[CONFIG_PATH].content
    cluster.server("cp2").plugins_away = False
    cluster.session().resume()
    assert_back(cluster, was)


REFUSED: list[tuple[str, bytes, Wish, str]] = [
    ("two entries", EVERYTHING, TO_PLUGIN, "2 entries would be written by the plugin vault"),
    (
        "a name that is taken",
        KMS_CONFIGMAPS,
        TO_PLUGIN,
        "resources[1] of the file has a KMS plugin called vault already",
    ),
    (
        "a second plugin in the entry",
        KMS_SECRETS,
        replace(TO_PLUGIN, plugin=Wished("other", "unix:///run/o.sock"), resources=("secrets",)),
        "resources[0] of the file has another KMS plugin",
    ),
    (
        "two entries away from plugins",
        configuration((("secrets",), Plugin("vault")), (("configmaps",), KEY_0)),
        replace(FROM_PLUGIN, resources=("secrets", "configmaps")),
        "kms/vault writes resources[0] of the file, and is not all that would change",
    ),
]


@pytest.mark.parametrize(("config", "wish", "said"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_r16_what_no_file_could_say_is_refused(config: bytes, wish: Wish, said: str, tmp_path: Path) -> None:
    error = refused(SimCluster(tmp_path, config=config), wish)
    assert isinstance(error, RefusedError)
    assert said in str(error)


def test_r16_files_that_reach_the_plugin_at_different_places_are_refused(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=KMS_SECRETS)
    server = cluster.server("cp2")
    server.host.place(CONFIG_PATH, KMS_SECRETS.replace(b"/run/kms/", b"/run/other/"))
    server.restart()
    cluster.clock.advance(60)
    assert "at different endpoints" in str(refused(cluster, FROM_PLUGIN))


def test_r16_a_server_from_before_kms_v2_is_refused(tmp_path: Path) -> None:
    specs = tuple(replace(spec, version="v1.28.15") for spec in THREE_RESTARTED)
    error = refused(SimCluster(tmp_path, specs, SECRETS), TO_PLUGIN)
    assert str(error) == "cp1 is v1.28.15"


def test_r16_a_server_whose_metrics_are_not_read_is_refused_before_anything_is_touched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    probe = SimApi.probe
    monkeypatch.setattr(SimApi, "probe", lambda api: replace(probe(api), start_time=0.0, problem="HTTP 403"))
    error = refused(SimCluster(tmp_path, config=SECRETS), TO_PLUGIN)
    assert str(error) == "the metrics of cp1 cannot be read"
    assert error.cause == "HTTP 403"


def test_r16_more_values_than_can_be_asked_for_one_by_one_stay_where_they_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cluster = SimCluster(tmp_path, config=SECRETS)
    monkeypatch.setattr(plugin_moves, "KMS_LIMIT", len(cluster.under("secrets")) - 1)
    assert "too many to ask each server for each" in str(refused(cluster, TO_PLUGIN))


@pytest.mark.parametrize(
    "make",
    [lambda: Wish(Goal.ROTATE, Provider.KMS), lambda: Wish(Goal.ROTATE, Provider.AESCBC, plugin=TO_PLUGIN.plugin)],
    ids=["kms without a plugin", "a plugin without kms"],
)
def test_a_plugin_is_wished_for_with_provider_kms_and_only_then(make: Callable[[], Wish]) -> None:
    with pytest.raises(ValueError, match="a plugin is what provider kms is"):
        make()


def test_a_plan_in_a_file_names_its_plugin(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=SECRETS)
    plan = cluster.session().agree(TO_PLUGIN)
    assert agreed.read(plan.to_text().encode(), name="f").wish == TO_PLUGIN


@pytest.mark.parametrize("wish", [TO_PLUGIN, FROM_PLUGIN], ids=["towards a plugin", "away from one"])
def test_a_plan_of_the_journal_that_lost_its_plugin_is_no_plan(wish: Wish, tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=SECRETS if wish is TO_PLUGIN else KMS_SECRETS)
    plan = begin(cluster.session(), wish).plan
    assert plan_from_record(plan.to_record()) == plan
    with pytest.raises(UnusableInputError, match="a plan that cannot be read"):
        plan_from_record({**plan.to_record(), "plugin": None})


@pytest.mark.parametrize("record", [None, {}, {"name": 3, "endpoint": "", "timeout": None}])
def test_what_is_no_record_of_a_plugin_is_refused(record: object) -> None:
    with pytest.raises((KeyError, TypeError)):
        plugin_from_record(record)
