"""Before and while the old key leaves: history (R6), the archive (R4), every etcd and every value (R3, R18)."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyctl.errors import RefusedError, StoppedError
from keyctl.keys.backups import BackupKind
from keyctl.keys.key import Key, KeyRef, Provider
from keyctl.rotation.plan import Goal, History, State
from keyctl.rotation.preflight import Wish
from tests.support.sim_server import CONFIG_PATH
from tests.support.sim_texts import EVERYTHING, KEY_0, KEY_1, SECRETS, configuration, secret_of
from tests.support.simulator import SimCluster
from tests.unit.rotation.scenes import (
    ROTATE,
    SCENES,
    after,
    assert_done,
    before,
    begin,
    have_old_key,
    head,
    plans,
    proofs_of,
    skip_slow_parts,
    stops,
)

BY_RESTART, EVERY_RESOURCE = SCENES[2], SCENES[6]
ETCD, FAR_ETCD = "https://10.0.0.9:2379", "https://10.0.0.8:2379"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_slow_parts(monkeypatch)


# -- R6: history


def wish(history: History) -> Wish:
    return Wish(Goal.ROTATE, history=history)


def test_r6_compact_compacts_every_etcd_at_the_revision_of_the_proof_before_any_file_loses_the_key(
    tmp_path: Path,
) -> None:
    cluster = SimCluster(tmp_path, config=EVERYTHING, overrides=("configmaps",))
    seen: list[list[bool]] = []
    for nth in (1, 2):
        after(cluster, "compact", lambda: seen.append(have_old_key(cluster)), nth=nth)
    begin(cluster.session(), wish(History.COMPACT))
    assert seen == [[True] * 3] * 2
    assert all(etcd.compacted > 100 for etcd in cluster.etcds.values())
    (history,) = [record for record in cluster.journal().records() if record.get("of") == "history"]
    assert history["mode"] == "compact"
    assert history["compacted"] == [{"etcd": name, "revision": etcd.compacted} for name, etcd in cluster.etcds.items()]
    (verified,) = [record for record in cluster.journal().records() if record.get("of") == "verified"]
    assert cluster.etcds[ETCD].compacted >= int(str(verified["revision"]))
    assert_done(cluster, EVERY_RESOURCE)


def test_r6_compacting_that_is_forbidden_stops_with_the_old_key_in_every_file(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    cluster.etcds[ETCD].forbids_compaction = True
    assert isinstance(stops(cluster), RefusedError)
    assert have_old_key(cluster) == [True] * 3
    assert cluster.session().resume(history=History.IGNORE).state is State.RETIRED
    assert_done(cluster, BY_RESTART)


def test_r6_wait_waits_until_the_api_servers_have_compacted_every_etcd(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=EVERYTHING, overrides=("configmaps",))
    compacted: list[float] = []

    def compact(name: str) -> None:
        cluster.etcds[name].forget_before(cluster.etcds[name].revision)
        compacted.append(cluster.clock.monotonic())

    after(cluster, "journal proof verified", lambda: cluster.clock.at(300.0, lambda: compact(ETCD)))
    after(cluster, "journal proof verified", lambda: cluster.clock.at(700.0, lambda: compact(FAR_ETCD)))
    proven: list[float] = []
    before(cluster, "journal proof history", lambda: proven.append(cluster.clock.monotonic()))
    begin(cluster.session(), wish(History.WAIT))
    assert len(compacted) == 2
    assert proven[0] >= compacted[-1]
    assert "compact" not in cluster.switch.labels
    assert_done(cluster, EVERY_RESOURCE)


def test_r6_a_compaction_below_the_proof_is_not_enough(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    etcd = cluster.etcds[ETCD]
    after(cluster, "journal proof verified", lambda: etcd.forget_before(etcd.revision - 1))
    assert stops(cluster, wish(History.WAIT)).rule == "R6"
    assert have_old_key(cluster) == [True] * 3


def test_r6_when_nobody_compacts_it_stops_with_the_old_key_in_every_file_and_goes_on_with_compact(
    tmp_path: Path,
) -> None:
    cluster = SimCluster(tmp_path)
    error = stops(cluster, wish(History.WAIT))
    assert isinstance(error, StoppedError)
    assert error.rule == "R6"
    assert "--history compact" in "".join(error.hints)
    assert have_old_key(cluster) == [True] * 3
    assert "resecured" not in proofs_of(cluster)
    assert cluster.clock.monotonic() < 3600
    cluster.session().resume(history=History.COMPACT)
    assert_done(cluster, BY_RESTART)


def test_r6_ignore_leaves_history_alone_and_the_register_knows_who_needs_the_old_key(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    begin(cluster.session(), wish(History.IGNORE))
    assert cluster.etcds[ETCD].compacted == 0
    (history,) = [record for record in cluster.journal().records() if record.get("of") == "history"]
    assert (history["mode"], history["compacted"]) == ("ignore", [])
    (backup,) = [one for one in cluster.store_keys.backups() if one.kind is BackupKind.HISTORY]
    assert (backup.location, backup.needs) == (ETCD, (KEY_1.ref,))
    assert_done(cluster, BY_RESTART)


# -- R4: the archive


class StaleStore:
    """What a key store gives that was replaced by another one, with a key of the same name and other bytes."""

    def __init__(self, cluster: SimCluster) -> None:
        self._real = cluster.store_keys.get
        self.lies = False

    def get(self, ref: KeyRef) -> Key | None:
        wrong = Key(Provider.AESCBC, KEY_1.ref.name, bytes(32))
        return wrong if self.lies and ref == KEY_1.ref else self._real(ref)


def test_r5_a_store_with_other_bytes_under_the_old_name_stops_before_any_file_loses_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = SimCluster(tmp_path)
    stale = StaleStore(cluster)
    monkeypatch.setattr(cluster.store_keys, "get", stale.get)
    with pytest.raises(StoppedError, match="paused"):
        begin(cluster.session(pause_after=State.VERIFIED), ROTATE)
    stale.lies = True
    with pytest.raises(RefusedError, match="does not hold") as caught:
        cluster.session().resume()
    assert caught.value.rule == "R5"
    assert have_old_key(cluster) == [True] * 3
    stale.lies = False
    cluster.session().resume()
    assert_done(cluster, BY_RESTART)


def snapshots(cluster: SimCluster) -> list[Path]:
    return sorted((cluster.directory / "snapshots").iterdir())


def test_without_the_first_snapshot_nothing_proves_the_archive_and_no_file_loses_the_key(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    with pytest.raises(StoppedError, match="paused"):
        begin(cluster.session(pause_after=State.REWRITING), ROTATE)
    (first,) = snapshots(cluster)
    content = first.read_bytes()
    first.unlink()
    with pytest.raises(StoppedError) as caught:
        cluster.session().resume()
    assert caught.value.rule == "resecured"
    assert str(first) in str(caught.value)
    assert have_old_key(cluster) == [True] * 3
    first.write_bytes(content)
    cluster.session().resume()
    assert_done(cluster, BY_RESTART)


def test_a_first_snapshot_that_the_stores_copy_does_not_open_stops_before_any_file_loses_the_key(
    tmp_path: Path,
) -> None:
    cluster = SimCluster(tmp_path)
    with pytest.raises(StoppedError, match="paused"):
        begin(cluster.session(pause_after=State.REWRITING), ROTATE)
    (first,) = snapshots(cluster)
    content = first.read_bytes()
    other = SimCluster(tmp_path / "other", config=SECRETS.replace(secret_of(KEY_1).encode(), secret_of(KEY_0).encode()))
    with pytest.raises(StoppedError, match="paused"):
        begin(other.session(pause_after=State.SECURED), ROTATE)
    first.write_bytes(snapshots(other)[0].read_bytes())
    with pytest.raises(StoppedError) as caught:
        cluster.session().resume()
    assert caught.value.rule == "resecured"
    assert "aescbc/key1" in str(caught.value)
    assert have_old_key(cluster) == [True] * 3
    first.write_bytes(content)
    cluster.session().resume()
    assert_done(cluster, BY_RESTART)


def test_both_snapshots_are_registered_with_the_keys_that_they_need(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=EVERYTHING)
    begin(cluster.session(), ROTATE)
    (plan,) = plans(cluster)
    first, second = [one for one in cluster.store_keys.backups() if one.kind is BackupKind.SNAPSHOT]
    assert set(first.needs) == {KEY_0.ref, KEY_1.ref}
    assert second.needs == (plan.new,)
    assert {first.location, second.location} == {str(path) for path in snapshots(cluster)}
    (resecured,) = [record for record in cluster.journal().records() if record.get("of") == "resecured"]
    assert resecured["opened"] == {"aescbc/key1": 6, "aescbc/key0": 5}


# -- R18, overrides, and what the old key is used for


def test_r18_an_orphan_under_the_old_key_blocks_by_name_and_the_key_stays(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=EVERYTHING)
    orphan = cluster.create("gadgets.gone.example", "team-a", "lost")
    error = stops(cluster)
    assert error.rule == "R18"
    assert orphan.etcd_key.decode() in (error.cause or "")
    assert have_old_key(cluster) == [True] * 3
    assert not {"verified", "retired"} & set(proofs_of(cluster))
    cluster.forget(orphan.etcd_key)
    cluster.session().resume()
    assert_done(cluster, EVERY_RESOURCE)


def test_r3_values_in_a_second_etcd_are_covered_by_both_proofs(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=EVERYTHING, overrides=("configmaps",))
    land = cluster.hold_until_told("cp3", "configmaps", "default", "late")
    after(cluster, "journal proof server", land, nth=9)
    error = stops(cluster)
    assert error.rule == "R3"
    assert not cluster.still_excused()
    assert cluster.under("configmaps") == {head(plans(cluster)[0].new)}
    cluster.session().resume()
    assert_done(cluster, EVERY_RESOURCE)


def test_r3_what_lands_late_in_a_second_etcd_before_any_server_let_go_is_rewritten(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=EVERYTHING, overrides=("configmaps",))
    after(cluster, "journal outcome rewrite", cluster.hold_until_told("cp3", "configmaps", "default", "late"))
    begin(cluster.session(), ROTATE)
    assert_done(cluster, EVERY_RESOURCE)


def test_r3_a_key_that_another_entry_reads_too_leaves_both_or_none(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=configuration((("secrets",), KEY_1), (("configmaps",), KEY_1)))
    error = stops(cluster, Wish(Goal.ROTATE, resources=("secrets",)))
    assert error.rule == "R3"
    assert cluster.switch.labels == []
    begin(cluster.session(), ROTATE)
    assert have_old_key(cluster) == [False] * 3
    assert cluster.under("secrets") == cluster.under("configmaps") == {head(plans(cluster)[0].new)}


def test_enable_takes_no_key_and_no_identity_away(tmp_path: Path) -> None:
    scene = SCENES[0]
    cluster = scene.cluster(tmp_path)
    assert begin(cluster.session(), scene.wish).state is State.VERIFIED
    assert proofs_of(cluster) == ["switched", "verified"]
    assert all(b"identity: {}" in server.host.files[CONFIG_PATH].content for server in cluster.servers)
    assert cluster.etcds[ETCD].compacted == 0
    assert_done(cluster, scene)
