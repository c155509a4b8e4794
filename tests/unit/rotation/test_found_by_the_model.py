"""What the model found, each as a test of its own: nothing is called safe, done unannounced, or believed too soon."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keyctl.errors import KeyctlError, StoppedError, UnreachableError
from keyctl.hosts.interface import HostFile
from keyctl.keys.ledger import KeyState
from keyctl.kube.interface import ServerProbe
from keyctl.rotation.loaded import LoadedBy, Loads, OnDisk, remembered
from keyctl.rotation.plan import State
from tests.support.sim_server import CONFIG_PATH, Spec
from tests.support.sim_texts import KEY_1
from tests.support.simulator import THREE_RESTARTED, SimCluster
from tests.unit.rotation.scenes import (
    ROTATE,
    SCENES,
    Agree,
    Was,
    after,
    assert_back,
    assert_done,
    begin,
    go_on,
    kill,
    skip_slow_parts,
    states_of_keys,
    stops,
)

ENABLE_WITHOUT_FLAG, BY_RESTART = SCENES[0], SCENES[2]
ETCD = "https://10.0.0.9:2379"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_slow_parts(monkeypatch)


def older(specs: tuple[Spec, ...]) -> tuple[Spec, ...]:
    return tuple(replace(spec, version="v1.33.4") for spec in specs)


# -- R17


def test_r17_the_canary_of_a_server_that_does_not_say_what_it_has_loaded_has_its_intent(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, older(THREE_RESTARTED))
    begin(cluster.session(), ROTATE)
    records = [label for label in cluster.switch.labels if label.startswith("journal ") or label == "create-canary"]
    before = {records[number - 1] for number, label in enumerate(records) if label == "create-canary"}
    assert before <= {"journal intent canary", "journal intent switch", "create-canary"}
    assert "journal intent canary" in before
    assert_done(cluster, BY_RESTART)


# -- R3: what is called safe


def mid_retiring(tmp_path: Path) -> SimCluster:
    """A rotation that was killed when cp1 had the file without the old key."""
    cluster = SimCluster(tmp_path)
    cp1 = cluster.server("cp1").host
    written = f"cp1: write {CONFIG_PATH}"
    whole = SimCluster(tmp_path / "counted")
    begin(whole.session(), ROTATE)
    at = [number for number, label in enumerate(whole.switch.labels, 1) if label == written][2]
    assert kill(cluster, lambda: begin(cluster.session(), ROTATE), at, before=False)
    assert len(cp1.ways) == 3
    return cluster


def no_etcd(cluster: SimCluster, *, after_label: str) -> None:
    after(cluster, after_label, lambda: setattr(cluster.etcds[ETCD], "down", True))


def assert_not_called_safe(error: KeyctlError) -> None:
    assert "go on soon" in "".join(error.hints)
    assert "safe for as long as you like" not in "".join(error.hints)


def test_r3_a_run_that_is_stopped_before_it_has_looked_does_not_call_safe_what_the_one_before_left(
    tmp_path: Path,
) -> None:
    cluster = mid_retiring(tmp_path)
    no_etcd(cluster, after_label="journal resume")
    with pytest.raises(StoppedError) as caught:
        cluster.session().resume()
    assert_not_called_safe(caught.value)


def test_r3_nor_is_it_called_safe_when_the_answer_to_the_first_file_without_the_old_key_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = SimCluster(tmp_path)
    host = cluster.server("cp1").host
    write = host.write

    def lose_the_third(path: str, content: bytes, *, expected: str | None, in_place: bool = False) -> HostFile:
        found = write(path, content, expected=expected, in_place=in_place)
        if len(host.ways) == 3:
            raise UnreachableError("host cp1: the connection was lost")
        return found

    monkeypatch.setattr(host, "write", lose_the_third)
    assert_not_called_safe(stops(cluster))


def test_r3_on_the_way_back_it_is_not_called_safe_while_a_server_is_without_the_old_key(tmp_path: Path) -> None:
    cluster = mid_retiring(tmp_path)
    no_etcd(cluster, after_label="journal state aborting")
    with pytest.raises(StoppedError) as caught:
        cluster.session().abort(confirm=Agree())
    assert_not_called_safe(caught.value)


@pytest.mark.parametrize(
    ("nth", "how"), [(1, "safe for as long as you like"), (7, "go on soon")], ids=["adding", "retiring"]
)
def test_r8_who_loses_the_lease_is_told_how_things_stand(nth: int, how: str, tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    after(cluster, "journal outcome write-file", lambda: setattr(cluster.lease_record, "place", "elsewhere"), nth=nth)
    error = stops(cluster)
    assert (type(error), error.rule) == (StoppedError, "R8")
    assert how in error.hints[0]
    assert "keyctl rotate --resume" in error.hints[-1]


# -- R4: what the ledger says of the old keys


def test_r4_keys_that_come_back_after_they_were_noted_as_out_of_use_are_active_again(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    was = Was.of(cluster)
    whole = SimCluster(tmp_path / "whole")
    begin(whole.session(), ROTATE)
    last = max(number for number, label in enumerate(whole.switch.labels, 1) if label == "store-note-state")
    assert kill(cluster, lambda: begin(cluster.session(), ROTATE), last, before=False)
    cluster.session().abort(confirm=Agree())
    assert states_of_keys(cluster)[KEY_1.ref] == KeyState.ACTIVE
    assert_back(cluster, was)


# -- R2: clocks that are set


def test_r2_a_clock_that_is_set_between_two_runs_does_not_make_an_old_process_look_newer_than_its_file(
    tmp_path: Path,
) -> None:
    whole = ENABLE_WITHOUT_FLAG.cluster(tmp_path / "whole")
    begin(whole.session(), ENABLE_WITHOUT_FLAG.wish)
    at = whole.switch.labels.index("journal outcome edit-manifest") + 1
    cluster = ENABLE_WITHOUT_FLAG.cluster(tmp_path / "killed")
    assert kill(cluster, lambda: go_on(cluster, ENABLE_WITHOUT_FLAG.wish), at, before=False)
    cluster.clock.advance(60)
    cluster.jumps["cp1"] = 100_000.0
    go_on(cluster, ENABLE_WITHOUT_FLAG.wish)
    assert cluster.server("cp1").host.restarts > 0
    assert_done(cluster, ENABLE_WITHOUT_FLAG)


NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
# Its clock, and that of its host, is a day ahead of where it was when the file was written.
DISK = OnDisk("sha256:1", 1000.0, 900.0, 0.0, "/etc/enc.yaml")
PROBE = ServerProbe("cp1", ready=True, start_time=80_000.0, certificate_serial=7, ahead=0.0, version="v1.33.4")


@pytest.mark.parametrize(
    ("begun", "step", "by"),
    [
        pytest.param(499.0, "write-file", None, id="older than the file"),
        pytest.param(499.0, "edit-manifest", None, id="older than the flag"),
        pytest.param(499.0, "restore-manifest", None, id="older than the flag that went"),
        pytest.param(501.0, "write-file", LoadedBy.START, id="newer"),
        pytest.param(499.0, "restart", LoadedBy.START, id="nothing was written"),
        pytest.param(None, "write-file", LoadedBy.START, id="it does not tell its age"),
    ],
)
def test_r2_a_process_is_newer_than_what_keyctl_has_written_by_its_age_too(
    begun: float | None, step: str, by: LoadedBy | None
) -> None:
    at = (NOW - timedelta(seconds=100)).isoformat()
    records = [{"kind": "outcome", "step": step, "server": "cp1", "at": at}]
    loads = remembered(records, now=NOW, monotonic=600.0)
    assert loads.seen(replace(PROBE, begun=begun), lambda: DISK).by is by


def test_r2_with_our_own_clock_set_back_it_is_not_known_when_a_file_was_written() -> None:
    records = [{"step": "write-file", "server": "cp1", "at": (NOW + timedelta(hours=1)).isoformat()}]
    loads = remembered(records, now=NOW, monotonic=600.0)
    assert loads.seen(replace(PROBE, begun=599.0), lambda: DISK).by is LoadedBy.START


def test_r2_without_records_the_clocks_of_the_server_and_its_host_decide() -> None:
    assert Loads().seen(replace(PROBE, begun=1.0), lambda: DISK).by is LoadedBy.START


# -- the evidence, and our own clock


@pytest.mark.parametrize("by", [-3600.0, -30.0, 3600.0])
@pytest.mark.parametrize("label", ["journal outcome rewrite", "journal proof resecured", "journal proof retired"])
def test_the_evidence_of_a_rotation_holds_when_our_clock_was_set_meanwhile(
    label: str, by: float, tmp_path: Path
) -> None:
    cluster = SimCluster(tmp_path)
    after(cluster, label, lambda: setattr(cluster.clock, "jumped", by))
    assert begin(cluster.session(), ROTATE).state is State.RETIRED
    assert_done(cluster, BY_RESTART)


def test_the_proofs_tell_for_how_long_nothing_had_changed_by_a_clock_that_nobody_sets(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    jump: Callable[[], None] = lambda: setattr(cluster.clock, "jumped", -3600.0)  # noqa: E731 - one line reads best
    after(cluster, "journal outcome rewrite", jump)
    begin(cluster.session(), ROTATE)
    settled = {r["of"]: r["settled"] for r in cluster.journal().records() if r["kind"] == "proof" and "settled" in r}
    assert settled.keys() == {"verified", "retired"}
    assert all(isinstance(seconds, float) and 60 <= seconds < 120 for seconds in settled.values())
