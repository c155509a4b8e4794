"""Guards that stand behind others: what happens when only this one is there to see it (docs/mutants.md)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from keyctl.errors import KeyctlError, RefusedError, StoppedError
from keyctl.keys.backups import BackupKind
from keyctl.rotation.plan import Goal, History, State
from keyctl.rotation.preflight import Wish
from tests.support.sim_server import CONFIG_PATH, MANIFEST_PATH
from tests.support.sim_texts import EVERYTHING, KEY_1, SECRETS, secret_of
from tests.support.simulator import THREE_RELOADING, SimCluster, void
from tests.unit.rotation.scenes import ENABLE, ROTATE, SCENES, Agree, after, assert_done, before, begin, head, plans

ENABLE_WITHOUT_FLAG, BY_RESTART, EVERY_RESOURCE = SCENES[0], SCENES[2], SCENES[6]
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


def has_old_key(cluster: SimCluster) -> list[bool]:
    return [secret_of(KEY_1).encode() in content for content in files(cluster)]


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
    assert caught.value.rule == "R10", "nor is it a value under the key that leaves"
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


# -- R3: before a key leaves


def test_r3_settling_begins_anew_when_a_server_was_not_ready_meanwhile(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    cp2, times = cluster.server("cp2"), dict[str, float]()

    def stall() -> None:
        cluster.clock.at(30, lambda: setattr(cp2, "ready", False))
        cluster.clock.at(45, lambda: (setattr(cp2, "ready", True), times.update(back=cluster.clock.monotonic())))

    after(cluster, "journal outcome rewrite", stall)
    before(cluster, "journal proof verified", lambda: times.update(verified=cluster.clock.monotonic()))
    begin(cluster.session(), ROTATE)
    assert times["verified"] - times["back"] >= cluster.settle - 1, "as of the last look while it was not ready"
    assert_done(cluster, BY_RESTART)


def test_r3_plaintext_that_lands_while_enable_settles_is_rewritten(tmp_path: Path) -> None:
    cluster = ENABLE_WITHOUT_FLAG.cluster(tmp_path)
    hold = lambda: cluster.hold_create("cp3", "secrets", "default", "late", seconds=50)  # noqa: E731
    cluster.settle = 120.0
    before(cluster, "cp3: restart", hold, nth=2)
    begin(cluster.session(), ENABLE)
    assert cluster.under("secrets") == {head(plans(cluster)[0].new)}
    assert_done(cluster, ENABLE_WITHOUT_FLAG)


def first_snapshot(cluster: SimCluster) -> Path:
    secured = next(record for record in cluster.journal().records() if record["kind"] == "secured")
    (snapshot,) = secured["snapshots"]  # type: ignore[misc]
    return Path(snapshot["path"])  # type: ignore[has-type]


def spoil_one_value(snapshot: Path) -> None:
    """One value under the old key is not what its key sealed."""
    document = json.loads(snapshot.read_text())
    value = next(value for value in document["values"] if base64.b64decode(value[1]).startswith(head(KEY_1.ref)))
    value[1] = base64.b64encode(base64.b64decode(value[1])[:-32] + bytes(32)).decode()
    snapshot.write_text(json.dumps(document))


def test_r3_no_key_leaves_whose_stored_copy_does_not_open_what_was_under_it(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    before(cluster, "journal proof history", lambda: spoil_one_value(first_snapshot(cluster)))
    error = stops(cluster)
    assert error.rule == "resecured"
    assert "does not open 1 values" in str(error)
    assert has_old_key(cluster) == [True] * 3


def test_r3_no_key_leaves_once_the_snapshot_that_needs_it_is_gone(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    before(cluster, "journal proof history", lambda: first_snapshot(cluster).unlink())
    error = stops(cluster)
    assert error.rule == "resecured"
    assert "is gone" in str(error)
    assert has_old_key(cluster) == [True] * 3


# -- R3: after a key has left. The nth outcomes of restarts: 1-3 read, 4-6 write, 7-9 retire.


def test_r3_what_the_second_scan_finds_brings_the_key_back(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=EVERYTHING)
    # No API serves it any more, so that no LIST of a server shows it.
    landings: list[Callable[[], None]] = []
    hold = lambda: landings.append(cluster.hold_until_told("cp3", "gadgets.gone.example", "team-a", "late"))  # noqa: E731
    before(cluster, "cp3: restart", hold, nth=2)
    after(cluster, "journal outcome restart", lambda: landings[0](), nth=9)
    error = stops(cluster)
    assert error.rule == "R18"
    assert "gadgets" in (error.cause or "")
    assert has_old_key(cluster) == [True] * 3
    assert not cluster.still_excused()


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
    after(cluster, "journal proof server", lambda: problems.update(secrets="500 InternalError"), nth=9)
    assert "cp3 cannot list secrets" in str(stops(cluster))
    assert "journal proof retired" not in cluster.switch.labels
    problems.clear()
    cluster.session().resume()
    assert_done(cluster, BY_RESTART)


def test_r3_what_landed_while_nobody_ran_brings_the_key_back_before_anything_else(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    landings: list[Callable[[], None]] = []
    hold = lambda: landings.append(cluster.hold_until_told("cp3", "secrets", "default", "late"))  # noqa: E731
    before(cluster, "cp3: restart", hold, nth=2)
    with pytest.raises(StoppedError, match="paused"):
        begin(cluster.session(pause_after=State.RETIRING), ROTATE)
    landings[0]()
    done = len(cluster.switch.labels)
    with pytest.raises(StoppedError, match="had landed under a key that was leaving"):
        cluster.session().resume()
    first = next(label for label in cluster.switch.labels[done:] if label.startswith("journal intent "))
    assert first == "journal intent write-file", "nothing is loaded that does not read it"
    assert has_old_key(cluster) == [True] * 3
    cluster.session().resume()
    assert_done(cluster, BY_RESTART)


# -- R4, R6: what still needs the key


def test_r4_every_snapshot_of_a_rotation_is_registered_with_the_keys_it_needs(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    begin(cluster.session(), ROTATE)
    kept = [backup.needs for backup in cluster.store_keys.backups() if backup.kind is BackupKind.SNAPSHOT]
    assert kept == [(KEY_1.ref,), (plans(cluster)[0].new,)]


def test_r6_history_that_needs_a_key_is_noted_before_the_key_leaves(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    noted = []
    before(cluster, f"cp1: write {CONFIG_PATH}", lambda: noted.extend(cluster.store_keys.backups()), nth=3)
    begin(cluster.session(), ROTATE)
    histories = [(backup.location, backup.needs) for backup in noted if backup.kind is BackupKind.HISTORY]
    assert histories == [(MAIN, (KEY_1.ref,))]


def test_r6_every_etcd_is_compacted_before_a_key_leaves(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=EVERYTHING, overrides=("configmaps",))
    found = []
    look = lambda: found.extend(etcd.compacted > 100 for etcd in cluster.etcds.values())  # noqa: E731
    before(cluster, f"cp1: write {CONFIG_PATH}", look, nth=3)
    begin(cluster.session(), ROTATE)
    assert found == [True, True]
    assert_done(cluster, EVERY_RESOURCE)


def test_r6_told_to_wait_no_key_leaves_before_its_revisions_are_compacted(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    etcd, found = cluster.etcds[MAIN], list[bool]()
    compact = lambda: cluster.clock.at(400, lambda: etcd.forget_before(etcd.revision))  # noqa: E731
    after(cluster, "journal proof verified", compact)
    before(cluster, f"cp1: write {CONFIG_PATH}", lambda: found.append(etcd.compacted > 100), nth=3)
    begin(cluster.session(), Wish(Goal.ROTATE, history=History.WAIT))
    assert found == [True]
    assert "compact" not in cluster.switch.labels
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
