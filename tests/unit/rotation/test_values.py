"""Rules about stored values: rewriting, settling, verifying, and what nobody can rewrite."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest

from keyctl.errors import KeyctlError, StoppedError
from keyctl.keys.key import Provider
from keyctl.kube.interface import ObjectRef
from keyctl.rotation.plan import Goal
from keyctl.rotation.preflight import Wish
from tests.support.sim_objects import key_of, new_object
from tests.support.sim_parts import Watcher
from tests.support.sim_server import CONFIG_PATH
from tests.support.sim_texts import EVERYTHING, KEY_0, KEY_1, SECRETS, configuration
from tests.support.simulator import THREE_RELOADING, SimCluster, void
from tests.unit.rotation.scenes import ROTATE, SCENES, after, assert_done, before, begin, head, plans

BY_RESTART, BY_RELOAD, EVERY_RESOURCE = SCENES[2], SCENES[3], SCENES[6]
DB_1 = key_of("secrets", "default", "db-1")


def stops(cluster: SimCluster) -> KeyctlError:
    with pytest.raises(KeyctlError) as caught:
        begin(cluster.session(), ROTATE)
    return caught.value


# -- settle


@pytest.mark.parametrize(("seconds", "lands_in"), [(2.0, "promoting"), (30.0, "rewriting"), (59.0, "rewriting")])
def test_a_create_that_was_held_up_and_lands_under_the_old_key_is_caught_and_rewritten(
    seconds: float, lands_in: str, tmp_path: Path
) -> None:
    cluster, watcher = SimCluster(tmp_path), Watcher()
    states = []

    def hold() -> None:
        # cp3 is the last to write with the new key: what it has sealed by now is sealed with the old one.
        cluster.hold_create("cp3", "secrets", "default", "late", seconds=seconds)
        cluster.clock.at(seconds, lambda: states.append(watcher.states()[-1]))

    before(cluster, "cp3: restart", hold, nth=2)
    begin(cluster.session(watcher=watcher), ROTATE)
    assert states == [lands_in]
    assert_done(cluster, BY_RESTART)


def test_what_lands_after_the_first_empty_scan_is_rewritten_and_settled_for_once_more(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    held = new_object("secrets", "default", "late")
    value = cluster.servers[0].config.seal("secrets", held.etcd_key, held.plain)
    after(cluster, "journal outcome rewrite", lambda: cluster.clock.at(50, lambda: void(cluster.store(held, value))))
    begin(cluster.session(), ROTATE)
    records = [record for record in cluster.journal().records() if record["kind"] != "state"]
    _, again, verified = [
        r for r in records if (r["kind"] == "outcome" and r["step"] == "rewrite") or r.get("of") == "verified"
    ]
    waited = datetime.fromisoformat(str(verified["at"])) - datetime.fromisoformat(str(again["at"]))
    assert waited.total_seconds() > cluster.settle - 1
    assert_done(cluster, BY_RESTART)


def test_verified_is_no_earlier_than_the_settle_time_after_the_last_server_was_proven_to_write(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    times: dict[str, float] = {}
    after(cluster, "journal proof switched", lambda: times.update(begun=cluster.clock.monotonic()))
    before(cluster, "journal proof verified", lambda: times.update(verified=cluster.clock.monotonic()))
    begin(cluster.session(), ROTATE)
    assert times["verified"] - times["begun"] >= cluster.settle


def test_a_server_that_loads_an_older_file_for_a_while_takes_all_proofs_away(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, THREE_RELOADING)
    cp2, files = cluster.server("cp2"), cluster.server("cp2").host.files
    added: list[bytes] = []

    def go_back() -> None:
        cluster.change_file("cp2", added[0])
        cp2.poll()

    before(cluster, "journal state readable", lambda: added.append(files[CONFIG_PATH].content))
    after(cluster, "journal outcome rewrite", go_back)
    # cp2 writes with the old key until it loads the file that it is given a third time.
    hold = lambda: cluster.hold_create("cp2", "secrets", "default", "late", seconds=59.0)  # noqa: E731
    before(cluster, f"cp2: write {CONFIG_PATH}", hold, nth=3)
    begin(cluster.session(), ROTATE)
    assert Counter(cluster.switch.labels)["journal proof switched"] == 2
    cluster.excused.clear()
    assert_done(cluster, BY_RELOAD)


def test_a_server_that_restarts_by_itself_takes_all_proofs_away(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    cp2 = cluster.server("cp2")
    # So quickly that it is never seen down.
    after(cluster, "journal outcome rewrite", lambda: setattr(cp2, "start_time", cp2.start_time + 100))
    begin(cluster.session(), ROTATE)
    assert Counter(cluster.switch.labels)["journal proof switched"] == 2
    assert_done(cluster, BY_RESTART)


def test_a_server_that_restarts_while_all_are_proven_to_read_leaves_no_proof_in_the_journal(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    cp1, cp3 = cluster.server("cp1"), cluster.server("cp3")
    lists = itertools.count(1)

    def restart_cp1() -> None:
        # Its second LIST with the key that it was restarted with is the first proof of all servers.
        if cp3.host.restarts == 1 and next(lists) == 2:
            cp1.start_time += 100

    cp3.on_list = restart_cp1
    begin(cluster.session(), ROTATE)
    times = [record["times"] for record in cluster.journal().records() if record.get("of") == "readable"]
    assert times[:2] == [1, 2]
    assert_done(cluster, BY_RESTART)


def test_a_server_that_restarts_during_the_verifying_scan_leaves_no_proof_in_the_journal(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    etcd, cp2 = cluster.etcds["https://10.0.0.9:2379"], cluster.server("cp2")
    settled: list[float] = []

    def restart_cp2() -> None:
        cluster.clock.advance(0.01)
        if settled and cluster.clock.monotonic() >= settled[0]:
            cp2.start_time += 100
            etcd.between_pages = lambda: cluster.clock.advance(0.01)

    etcd.between_pages = restart_cp2
    after(cluster, "journal outcome rewrite", lambda: settled.append(cluster.clock.monotonic() + 50))
    begin(cluster.session(), ROTATE)
    proofs = [record["of"] for record in cluster.journal().records() if record["kind"] == "proof"]
    assert [of for of in proofs if of in {"switched", "verified"}] == ["switched", "switched", "verified"]
    assert_done(cluster, BY_RESTART)


# -- R15


def test_r15_a_webhook_refusal_is_named_and_left_and_never_skipped_over(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    cluster.webhook_refuses.add(DB_1)
    error = stops(cluster)
    assert isinstance(error, StoppedError)
    assert error.rule == "R15"
    assert "default/db-1" in (error.cause or "")
    assert "rules.example" in (error.cause or "")
    (plan,) = plans(cluster)
    assert cluster.under("secrets") == {head(plan.new), b"k8s:enc:aescbc:v1:key1"}, "the others are rewritten"
    assert not any(record["kind"] == "end" for record in cluster.journal().records())
    cluster.webhook_refuses.clear()
    cluster.session().resume()
    assert_done(cluster, BY_RESTART)


def test_r15_a_conflict_is_not_done_but_looked_at_again(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    cluster.conflicts = {DB_1: 2}
    begin(cluster.session(), ROTATE)
    assert cluster.conflicts == {DB_1: 0}
    assert_done(cluster, BY_RESTART)


def test_r15_a_conflict_that_never_ends_stops_and_is_not_taken_for_done(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    cluster.conflicts = {DB_1: 10**6}
    error = stops(cluster)
    assert error.rule == "R15"
    assert "could not be rewritten" in str(error)


def test_r15_an_object_that_is_replaced_or_deleted_before_its_patch_is_looked_at_again(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    old = cluster.servers[0].config

    def meddle(ref: ObjectRef) -> None:
        if ref.name == "db-2":
            replaced = new_object("secrets", "default", "db-2")
            cluster.store(replaced, old.seal("secrets", replaced.etcd_key, replaced.plain))
            cluster.before_patch = lambda _: None
        if ref.name == "db-1":
            cluster.forget(DB_1)

    cluster.before_patch = meddle
    begin(cluster.session(), ROTATE)
    assert cluster.object_at(DB_1) is None
    assert_done(cluster, BY_RESTART)


def test_r15_lost_answers_cost_a_second_look_and_no_more(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    before(cluster, "journal intent rewrite", lambda: setattr(cluster, "lost_answers", 4))
    begin(cluster.session(), ROTATE)
    assert cluster.lost_answers == 0
    assert Counter(cluster.switch.labels)["patch"] == 3 + 6, "three canaries, and every Secret once"
    assert_done(cluster, BY_RESTART)


def test_concurrent_writers_neither_lose_a_write_nor_keep_an_old_key(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    cluster.write_now_and_then(period=0.3)
    begin(cluster.session(), ROTATE)
    assert_done(cluster, BY_RESTART)


# -- R18


def test_r18_an_orphan_blocks_by_name_after_everything_else_was_rewritten(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=EVERYTHING)
    orphan = cluster.create("gadgets.gone.example", "team-a", "lost")
    error = stops(cluster)
    assert isinstance(error, StoppedError)
    assert error.rule == "R18"
    assert orphan.etcd_key.decode() in (error.cause or "")
    (plan,) = plans(cluster)
    assert cluster.under("secrets") == cluster.under("configmaps") == {head(plan.new)}
    cluster.forget(orphan.etcd_key)
    cluster.session().resume()
    assert_done(cluster, EVERY_RESOURCE)


def test_r18_infrastructure_stays_plaintext_under_a_wildcard_and_blocks_nothing(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=EVERYTHING)
    begin(cluster.session(), ROTATE)
    raw = cluster.etcds["https://10.0.0.9:2379"].all()
    assert raw[b"/registry/masterleases/10.0.0.1"].startswith(b"k8s\0")
    assert_done(cluster, EVERY_RESOURCE)


# -- what is rewritten


def test_only_the_entries_asked_for_change(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=configuration((("secrets",), KEY_1), (("configmaps",), KEY_0)))
    begin(cluster.session(), Wish(Goal.ROTATE, resources=("secrets",)))
    assert cluster.under("secrets") == {head(plans(cluster)[0].new)}
    assert cluster.under("configmaps") == {b"k8s:enc:aescbc:v1:key0"}


@pytest.mark.parametrize("provider", [Provider.AESCBC, Provider.AESGCM, Provider.SECRETBOX])
def test_every_static_provider_can_be_rotated_to(provider: Provider, tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    begin(cluster.session(), Wish(Goal.ROTATE, provider))
    assert plans(cluster)[0].new.provider is provider
    assert_done(cluster, BY_RESTART)


def test_values_in_a_second_etcd_are_rewritten_and_proven_too(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=EVERYTHING, overrides=("configmaps",))
    begin(cluster.session(), ROTATE)
    far = cluster.etcds["https://10.0.0.8:2379"].all()
    assert [value.startswith(head(plans(cluster)[0].new)) for value in far.values()] == [True]
    assert len(list((tmp_path / "snapshots").iterdir())) == 4, "one of each before and after"
    assert_done(cluster, EVERY_RESOURCE)


def test_r5_every_key_of_the_files_is_in_the_store_before_a_new_one_is(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=EVERYTHING)
    begin(cluster.session(), ROTATE)
    records = cluster.store_keys.records()
    assert [(str(record.ref), record.origin) for record in records[:2]] == [
        ("aescbc/key1", "imported"),
        ("aescbc/key0", "imported"),
    ]
    assert (records[2].ref, records[2].origin) == (plans(cluster)[0].new, "generated")
    assert cluster.store_keys.get(KEY_1.ref) == KEY_1


def test_a_store_that_does_not_give_the_key_back_stops_before_any_file_has_it(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    cluster.store_keys.forgets = True
    assert stops(cluster).rule == "secured"
    assert [server.host.files[CONFIG_PATH].content for server in cluster.servers] == [SECRETS] * 3


def test_a_snapshot_that_does_not_open_is_no_way_back_and_stops_before_any_file_has_the_key(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    before(cluster, "save-snapshot", lambda: void(cluster.put_undecryptable("configmaps", "default", "late")))
    error = stops(cluster)
    assert isinstance(error, StoppedError)
    assert error.rule == "secured"
    assert "late" in (error.cause or "")
    assert plans(cluster) == []


def test_a_rotation_of_a_resource_without_values_proves_nothing_and_says_so(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=configuration((("leases.coordination.k8s.io",), KEY_1)))
    error = stops(cluster)
    assert isinstance(error, StoppedError)
    assert "nothing proves that it is in use" in str(error)
