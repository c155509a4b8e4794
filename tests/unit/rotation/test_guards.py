"""Guards that stand behind others: what happens when only this one is there to see it (docs/mutants.md)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from keyctl.errors import KeyctlError, RefusedError, StoppedError
from keyctl.keys.key import Key
from keyctl.rotation.owner import check_owner
from keyctl.rotation.plan import State
from keyctl.rotation.preflight import Wish
from tests.support.sim_objects import key_of
from tests.support.sim_server import CONFIG_PATH, MANIFEST_PATH
from tests.support.sim_texts import EVERYTHING, KEY_0, KEY_1, SECRETS, configuration
from tests.support.simulator import THREE_RELOADING, SimCluster, void
from tests.unit.rotation.refusals import refused
from tests.unit.rotation.scenes import ENABLE, ROTATE, SCENES, Agree, after, assert_done, before, begin, head, plans

ENABLE_WITHOUT_FLAG, BY_RESTART = SCENES[0], SCENES[2]
MAIN = "https://10.0.0.9:2379"
FLAG = b"--encryption-provider-config="


def stops(cluster: SimCluster, wish: Wish = ROTATE) -> KeyctlError:
    with pytest.raises(KeyctlError) as caught:
        begin(cluster.session(), wish)
    return caught.value


def put_undecryptable(cluster: SimCluster) -> Callable[[], None]:
    return lambda: void(cluster.put_undecryptable("configmaps", "default", "late"))


def files(cluster: SimCluster) -> list[bytes]:
    return [server.host.files[CONFIG_PATH].content for server in cluster.servers]


def flagged(cluster: SimCluster) -> list[bool]:
    return [FLAG in server.host.files[MANIFEST_PATH].content for server in cluster.servers]


# -- R1, R10: what is about to be loaded


def test_r1_no_server_gets_a_file_to_reload_that_does_not_read_a_stored_value(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, THREE_RELOADING)
    before(cluster, "journal intent write-file", put_undecryptable(cluster))
    assert stops(cluster).rule == "R1"
    assert files(cluster) == [SECRETS] * 3


def test_r1_no_manifest_gets_a_flag_for_a_file_that_does_not_read_a_stored_value(tmp_path: Path) -> None:
    cluster = ENABLE_WITHOUT_FLAG.cluster(tmp_path)
    before(cluster, "journal intent edit-manifest", put_undecryptable(cluster))
    assert stops(cluster, ENABLE).rule == "R1"
    assert flagged(cluster) == [False] * 3


def test_r1_no_manifest_loses_its_flag_while_a_value_is_encrypted(tmp_path: Path) -> None:
    cluster = ENABLE_WITHOUT_FLAG.cluster(tmp_path)
    with pytest.raises(StoppedError):
        begin(cluster.session(pause_after=State.REWRITING), ENABLE)
    before(cluster, "journal intent restore-manifest", put_undecryptable(cluster))
    with pytest.raises(RefusedError) as caught:
        cluster.session().abort(confirm=Agree())
    assert caught.value.rule == "R1", "nor is it a value under the key that leaves"
    assert flagged(cluster) == [True] * 3


def test_r10_a_value_that_no_key_opens_ends_the_rewriting(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    after(cluster, "journal proof switched", put_undecryptable(cluster))
    assert stops(cluster).rule == "R10"
    assert "journal proof verified" not in cluster.switch.labels


# -- R2: what a server has loaded


def test_r2_a_server_that_is_ready_with_another_file_has_not_loaded_the_new_one(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    cp1 = cluster.server("cp1")
    boot, stale = cp1.boot, cp1.config

    def boot_with_what_was_mounted_before() -> None:
        assert cp1.host.restarts < 3, "it is restarted over and over"
        boot()
        cp1.config = stale

    cp1.boot = boot_with_what_was_mounted_before  # type: ignore[method-assign]
    error = stops(cluster)
    assert isinstance(error, StoppedError)
    assert "ready with another configuration" in (error.cause or "")
    assert cp1.host.restarts == 1
    cp1.boot = boot  # type: ignore[method-assign]
    cluster.session().resume()
    assert_done(cluster, BY_RESTART)


# -- R5, R11, R12


def test_r5_a_new_key_with_other_bytes_than_the_plan_knows_is_not_gone_on_with(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    with pytest.raises(StoppedError, match="paused"):
        begin(cluster.session(pause_after=State.GENERATED), ROTATE)
    (plan,) = plans(cluster)
    cluster.store_keys._keys[plan.new] = Key(plan.new.provider, plan.new.name, bytes(32))
    with pytest.raises(RefusedError) as caught:
        cluster.session().resume()
    assert caught.value.rule == "R5"
    assert files(cluster) == [SECRETS] * 3


def test_r11_a_server_that_joins_during_the_verifying_scan_leaves_no_proof(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    etcd = cluster.etcds[MAIN]
    settled: list[float] = []

    def join() -> None:
        if settled and cluster.clock.monotonic() >= settled[0] and not cluster.unlisted:
            cluster.excused.add("cp9")
            cluster.add_unlisted(files(cluster)[0])

    etcd.between_pages = join
    after(cluster, "journal outcome rewrite", lambda: settled.append(cluster.clock.monotonic() + 50))
    assert stops(cluster).rule == "R11"
    assert "journal proof verified" not in cluster.switch.labels


@pytest.mark.parametrize(("version", "owner"), [("v1.37.1+k3s1", "k3s"), ("v1.37.1+rke2r1", "rke2")])
def test_r12_a_distribution_that_nobody_named_is_known_by_its_version(version: str, owner: str, tmp_path: Path) -> None:
    world = SimCluster(tmp_path).world()
    with pytest.raises(RefusedError, match=f"{owner} owns") as caught:
        check_owner(world, version, enabling=False, template_updated=True)
    assert caught.value.rule == "R12"


# -- R3: before a key leaves


def test_r3_plaintext_that_lands_while_enable_settles_is_rewritten(tmp_path: Path) -> None:
    cluster = ENABLE_WITHOUT_FLAG.cluster(tmp_path)
    hold = lambda: cluster.hold_create("cp3", "secrets", "default", "late", seconds=50)  # noqa: E731
    cluster.settle = 120.0
    before(cluster, "cp3: restart", hold, nth=2)
    begin(cluster.session(), ENABLE)
    assert cluster.under("secrets") == {head(plans(cluster)[0].new)}
    assert_done(cluster, ENABLE_WITHOUT_FLAG)


# -- R3: after a key has left. The nth outcomes of restarts: 1-3 read, 4-6 write, 7-9 retire.


def test_r3_a_server_that_restarts_during_the_second_scan_leaves_no_proof(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    etcd, cp2 = cluster.etcds[MAIN], cluster.server("cp2")
    as_it_was = etcd.between_pages

    def restart_cp2() -> None:
        cp2.start_time += 100
        etcd.between_pages = as_it_was

    after(cluster, "journal outcome restart", lambda: setattr(etcd, "between_pages", restart_cp2), nth=9)
    begin(cluster.session(), ROTATE)
    assert cluster.switch.labels.count("journal proof retired") == 1
    assert_done(cluster, BY_RESTART)


def test_r3_retirement_ends_with_a_list_through_every_server(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    problems = cluster.server("cp3").list_problems
    # The ninth proof is that of the last server that let go of the key.
    after(cluster, "journal proof server", lambda: problems.update(secrets="500 InternalError"), nth=9)
    assert "cp3 cannot list secrets" in str(stops(cluster))
    assert "journal proof retired" not in cluster.switch.labels
    problems.clear()
    cluster.session().resume()
    assert_done(cluster, BY_RESTART)


# -- R8


def test_r8_nothing_is_swept_on_resume_while_another_machine_holds_the_lease(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    with pytest.raises(StoppedError):
        begin(cluster.session(pause_after=State.ADDING), ROTATE)
    cluster.lease_record.place, cluster.lease_record.renewed = "there", cluster.clock.monotonic()
    with pytest.raises(RefusedError) as caught:
        cluster.session().resume()
    assert caught.value.rule == "R8"
    assert [server.host.swept for server in cluster.servers] == [[], [], []]


# -- R15, R18: what cannot be rewritten


def ends_within(cluster: SimCluster, seconds: float) -> None:
    cluster.clock.at(seconds, lambda: pytest.fail("it goes on and on"))


def test_r15_what_a_webhook_refuses_is_not_tried_for_ever(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    cluster.webhook_refuses.add(key_of("secrets", "default", "db-1"))
    ends_within(cluster, 600)
    error = stops(cluster)
    assert error.rule == "R15"
    assert "default/db-1" in (error.cause or "")


def test_r18_an_orphan_is_not_tried_for_ever(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=EVERYTHING)
    cluster.create("gadgets.gone.example", "team-a", "lost")
    ends_within(cluster, 600)
    error = stops(cluster)
    assert error.rule == "R18"
    assert "gadgets" in (error.cause or "")


def test_r18_infrastructure_under_a_wildcard_is_not_waited_for(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=EVERYTHING)
    ends_within(cluster, 600)
    begin(cluster.session(), ROTATE)
    assert cluster.etcds[MAIN].all()[b"/registry/masterleases/10.0.0.1"].startswith(b"k8s\0")


def test_r18_a_wildcard_over_a_group_of_an_aggregated_api_server_is_refused(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=configuration((("secrets",), KEY_1), (("*.metrics.k8s.io",), KEY_0)))
    error = refused(cluster)
    assert error.rule == "R18"
    assert "aggregated" in str(error)
