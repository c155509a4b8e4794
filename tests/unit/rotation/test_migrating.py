"""Rewriting by the cluster: begun late, watched in raw etcd, explained when it stands still."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyctl.errors import RefusedError, StoppedError
from keyctl.kube.interface import MIGRATIONS
from keyctl.rotation.plan import Engine, Goal, State
from keyctl.rotation.preflight import Wish
from tests.support import sim_server
from tests.support.sim_objects import SERVED, SimResource, key_of
from tests.support.sim_parts import Watcher
from tests.support.sim_texts import KEY_1, configuration
from tests.support.simulator import SimCluster, void
from tests.unit.rotation.refusals import refused
from tests.unit.rotation.scenes import (
    SCENES,
    Agree,
    Was,
    after,
    assert_back,
    assert_done,
    before,
    begin,
    ended,
    kill,
    kill_points,
    plans,
    skip_slow_parts,
)

BY_RESTART = SCENES[2]
SVM = Wish(Goal.ROTATE, engine=Engine.SVM)
DB_1 = key_of("secrets", "default", "db-1")


@pytest.fixture(autouse=True)
def _served(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster of 1.37."""
    migrations = SimResource(MIGRATIONS, "storageversionmigrations", "storagemigration.k8s.io/v1", "Migration")
    monkeypatch.setattr(sim_server, "SERVED", SERVED | {MIGRATIONS: migrations})


def stops(cluster: SimCluster, watcher: Watcher | None = None) -> StoppedError:
    with pytest.raises(StoppedError) as caught:
        begin(cluster.session(watcher=watcher), SVM)
    assert cluster.migrations.here() == [], "what cannot go on does not go on trying"
    return caught.value


def test_the_cluster_rewrites_and_keyctl_sends_no_patch_but_its_canaries(tmp_path: Path) -> None:
    cluster, watcher = SimCluster(tmp_path), Watcher()
    begin(cluster.session(watcher=watcher), SVM)
    labels = cluster.switch.labels
    assert labels.count("patch") == 3
    (plan,) = plans(cluster)
    assert cluster.migrations.names == [f"keyctl-{plan.rotation}-secrets"]
    assert labels.index("journal proof switched") < labels.index("journal intent migrate")
    assert labels.index("journal intent migrate") < labels.index("create-migration")
    assert labels.index("delete-migration") < labels.index("journal proof verified")
    assert cluster.migrations.here() == []
    waits = [event.message for event in watcher.events if event.kind == "wait" and "left for" in event.message]
    assert waits, "the minute in which nothing moves is explained"
    assert_done(cluster, BY_RESTART)


def test_every_resource_that_changes_has_a_migration_of_its_own(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=configuration((("secrets", "widgets.example.com"), KEY_1)))
    begin(cluster.session(), SVM)
    (plan,) = plans(cluster)
    assert sorted(cluster.migrations.names) == [
        f"keyctl-{plan.rotation}-secrets",
        f"keyctl-{plan.rotation}-widgets.example.com",
    ]
    assert len(cluster.under("widgets.example.com") | cluster.under("secrets")) == 1


def test_what_was_written_after_its_beginning_under_the_old_key_gets_another_migration(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    hold = lambda: cluster.hold_create("cp3", "secrets", "default", "late", seconds=40.0)  # noqa: E731
    before(cluster, "cp3: restart", hold, nth=2)
    begin(cluster.session(), SVM)
    assert len(cluster.migrations.names) == 2, "a success proves nothing: raw etcd is asked"
    assert_done(cluster, BY_RESTART)


def test_killed_at_any_moment_it_finds_its_migration_again_and_leaves_none_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    skip_slow_parts(monkeypatch)
    whole = SimCluster(tmp_path / "whole")
    whole.migrations.cache_lag = 5.0
    begin(whole.session(), SVM)
    labels = list(whole.switch.labels)
    first, last = labels.index("journal intent migrate"), labels.index("journal outcome end-migration")
    points = [(n, b) for n, b in kill_points(labels) if first + 1 <= n <= last + 2]
    assert len(points) >= 6
    for number, earlier in points:
        cluster = SimCluster(tmp_path / f"{number}-{earlier}")
        cluster.migrations.cache_lag = 5.0
        assert kill(cluster, lambda cluster=cluster: begin(cluster.session(), SVM), number, before=earlier)  # type: ignore[misc]
        if not ended(cluster):
            cluster.session().resume()
        assert cluster.migrations.here() == []
        assert len(cluster.migrations.names) == 1, "the one that was begun is gone on with"
        assert_done(cluster, BY_RESTART)


def test_another_engine_goes_on_and_takes_the_migration_away(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    pressed: list[bool] = []

    def pause() -> None:
        if cluster.migrations.here() and not pressed:
            pressed.append(True)
            raise KeyboardInterrupt

    with pytest.raises(StoppedError, match="interrupted"):
        begin(cluster.session(pause=pause), SVM)
    assert cluster.migrations.here() != [], "it goes on without a client: that is what it is for"
    cluster.session().resume(engine=Engine.PATCH)
    assert cluster.migrations.here() == []
    assert cluster.switch.labels.count("patch") > 3
    assert_done(cluster, BY_RESTART)


def test_the_way_back_migrates_too(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    was = Was.of(cluster)
    with pytest.raises(StoppedError, match="paused"):
        begin(cluster.session(pause_after=State.VERIFIED), SVM)
    cluster.session().abort(confirm=Agree())
    (plan,) = plans(cluster)
    assert cluster.migrations.names == [f"keyctl-{plan.rotation}-secrets", f"keyctl-{plan.rotation}-back-secrets"]
    assert cluster.migrations.here() == []
    assert_back(cluster, was)


def test_nobody_who_takes_it_up_is_told_from_a_controller_that_is_off(tmp_path: Path) -> None:
    absent = SimCluster(tmp_path / "absent")
    absent.migrations.running, absent.migrations.silent_for = False, 400.0
    error = stops(absent)
    assert "nobody has taken up the StorageVersionMigration" in str(error)
    assert "its Lease was last renewed 400 s ago" in (error.cause or "")
    off = SimCluster(tmp_path / "off")
    off.migrations.enabled = False
    error = stops(off)
    assert "and not its storage-version-migrator-controller" in (error.cause or "")
    assert any("--resume --engine patch" in hint for hint in error.hints)
    unseen = SimCluster(tmp_path / "unseen")
    unseen.migrations.running, unseen.migrations.silent_for = False, None
    assert "cannot be seen" in (stops(unseen).cause or "")
    off.session().resume(engine=Engine.PATCH)
    assert_done(off, BY_RESTART)


def test_a_standstill_without_any_refusal_points_at_the_cache(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    cluster.migrations.cache_lag = 10_000.0
    error = stops(cluster)
    assert "raw etcd has shown 6 left for 18" in str(error)
    assert "the garbage collector's cache" in (error.cause or "")
    assert any("--resume --engine patch" in hint for hint in error.hints)
    assert error.rule == "R15"


def test_a_failed_migration_is_explained_by_the_object_and_the_webhook(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    cluster.webhook_refuses.add(DB_1)
    error = stops(cluster)
    assert "has failed" in str(error)
    assert "default/db-1" in (error.cause or "")
    assert any("webhook rules.example" in hint for hint in error.hints)
    cluster.webhook_refuses.clear()
    cluster.session().resume()
    assert_done(cluster, BY_RESTART)


def test_a_value_that_nobody_opens_is_why_it_would_run_for_ever(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    after(
        cluster, "create-migration", lambda: void(cluster.put_undecryptable("secrets", "default", "aaa-undecryptable"))
    )
    error = stops(cluster)
    assert error.rule == "R10"
    assert "could never end" in str(error)
    assert "aaa-undecryptable" in (error.cause or "")


def test_it_is_deleted_while_etcd_is_nearly_full_and_begun_anew_after(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    etcd = cluster.etcds["https://10.0.0.9:2379"]

    def fill() -> None:
        etcd.quota = int(etcd.status()[0].db_size / 0.97)
        cluster.clock.at(60, lambda: setattr(etcd, "quota", 0))

    after(cluster, "create-migration", fill)
    begin(cluster.session(), SVM)
    assert len(cluster.migrations.names) == 2
    assert_done(cluster, BY_RESTART)


def test_a_migration_that_somebody_deletes_is_noticed(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    after(cluster, "journal outcome migrate", cluster.migrations.lose_all)
    assert "was deleted by somebody else" in str(stops(cluster))


# -- before anything is touched


@pytest.mark.parametrize("verb", ["create", "get", "delete"])
def test_a_right_that_is_missing_is_named_first(verb: str, tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    cluster.forbidden.add((verb, MIGRATIONS))
    error = refused(cluster, SVM)
    assert f"you may not {verb} {MIGRATIONS}" in str(error)


@pytest.mark.parametrize(("version", "told"), [("", "none"), ("storagemigration.k8s.io/v1alpha1", "v1alpha1")])
def test_a_cluster_without_a_usable_migration_is_refused_with_the_reason(
    version: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = SimResource(MIGRATIONS, "storageversionmigrations", version, "Migration")
    monkeypatch.setattr(sim_server, "SERVED", SERVED | ({MIGRATIONS: resource} if version else {}))
    error = refused(SimCluster(tmp_path), SVM)
    assert isinstance(error, RefusedError)
    assert told in (error.cause or "")
    assert "StorageVersionMigrator" in error.hints[0]
