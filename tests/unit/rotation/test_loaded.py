"""What a server has loaded: its own word, else the order of things seen, else clocks that agree, else nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from keyctl.kube.interface import ServerProbe
from keyctl.rotation.loaded import (
    MARGIN,
    REPORTS_HASH,
    SKEW,
    Loaded,
    LoadedBy,
    Loads,
    OnDisk,
    known_of,
    loaded_of,
    process_of,
    reports,
)

FILE, OTHER = "sha256:aa", "sha256:bb"
DAY = 86_400.0
PROBE = ServerProbe("cp1", True, start_time=DAY, certificate_serial=7, ahead=0.2, begun=500.0, version="v1.33.13")
# Its file and its manifest are from the hour before.
DISK = OnDisk(FILE, DAY - 3600, DAY - 3600, 0.0)


def changed(at: float, sha256: str = FILE) -> OnDisk:
    """The file as it is after a change at `at`."""
    return replace(DISK, sha256=sha256, file_changed=at)


def never() -> OnDisk:
    raise AssertionError("the host is not asked")


def reads(disk: OnDisk) -> Callable[[], OnDisk]:
    return lambda: disk


# -- one look, by the clocks


@pytest.mark.parametrize(
    ("probe", "disk", "expected"),
    [
        pytest.param(PROBE, DISK, (FILE, LoadedBy.START), id="started an hour after the change"),
        pytest.param(PROBE, changed(DAY - MARGIN - 0.1), (FILE, LoadedBy.START), id="more than the margin after it"),
        pytest.param(PROBE, changed(DAY - MARGIN), (None, None), id="within the margin"),
        pytest.param(PROBE, changed(DAY + 60), (None, None), id="changed since it started"),
        pytest.param(PROBE, replace(DISK, manifest_changed=DAY + 60), (None, None), id="its manifest, too, is changed"),
        pytest.param(
            PROBE, replace(DISK, manifest_changed=DAY - 0.5), (FILE, LoadedBy.START), id="restarted by its manifest"
        ),
        pytest.param(
            replace(PROBE, reloads=1, reloaded_at=DAY + 90), changed(DAY + 60), (FILE, LoadedBy.RELOAD), id="reloaded"
        ),
        pytest.param(
            replace(PROBE, reloads=1, reloaded_at=DAY + 60 + MARGIN),
            changed(DAY + 60),
            (None, None),
            id="reloaded within the margin",
        ),
        pytest.param(
            replace(PROBE, reloads=4, reloaded_at=DAY + 50), changed(DAY + 60), (None, None), id="reloaded before it"
        ),
        pytest.param(PROBE, replace(DISK, sha256=None, file_changed=None), (None, LoadedBy.START), id="no flag"),
        pytest.param(
            replace(PROBE, version="v1.37.1", ahead=None),
            replace(DISK, sha256=None, manifest_changed=DAY + 60),
            (None, LoadedBy.HASH),
            id="no flag, and no word of a version that would report it",
        ),
        pytest.param(PROBE, replace(DISK, file_changed=None), (None, None), id="a host that tells no times"),
        pytest.param(PROBE, replace(DISK, manifest_changed=None), (None, None), id="nor that of the manifest"),
        pytest.param(PROBE, replace(DISK, ahead=None), (None, None), id="a host that tells no clock"),
        pytest.param(replace(PROBE, ahead=None), DISK, (None, None), id="a server that tells no clock"),
        pytest.param(replace(PROBE, ahead=SKEW + 0.1), DISK, (None, None), id="its clock is ahead of its host's"),
        pytest.param(PROBE, replace(DISK, ahead=SKEW + 0.4), (None, None), id="its host's is ahead of its own"),
        pytest.param(
            replace(PROBE, ahead=900.0), replace(DISK, ahead=899.0), (FILE, LoadedBy.START), id="only ours is wrong"
        ),
    ],
)
def test_one_look_shows_what_was_loaded_where_the_clocks_leave_no_doubt(
    probe: ServerProbe, disk: OnDisk, expected: tuple[str | None, LoadedBy | None]
) -> None:
    found = loaded_of(probe, disk)
    assert (found.hash, found.by) == expected
    assert bool(found.doubt) is bool(found.mend) is (found.by is None)


def test_clocks_that_differ_are_named_with_by_how_much() -> None:
    found = loaded_of(replace(PROBE, ahead=-40.0), DISK)
    assert found.doubt == "its clock and that of its host differ by 40 s: no times can be compared"
    assert "chronyc" in found.mend


# -- what the server says itself


def test_a_hash_that_it_reports_comes_before_everything_and_the_host_is_not_asked() -> None:
    assert Loads().seen(replace(PROBE, loaded_hash=OTHER), never) == Loaded(OTHER, LoadedBy.HASH)


def test_a_process_that_once_reported_a_hash_keeps_it_and_one_without_a_flag_is_known_by_its_start() -> None:
    loads, bare = Loads(), replace(DISK, sha256=None, manifest_changed=DAY + 60)
    loads.wrote("cp1", FILE, never)
    assert loads.seen(replace(PROBE, loaded_hash=OTHER), never).is_file(OTHER)
    loads.wrote("cp1", OTHER, never)
    assert loads.seen(PROBE, never) == Loaded(OTHER, LoadedBy.HASH)
    loads.watch(PROBE, bare)
    assert loads.seen(replace(PROBE, loaded_hash=OTHER), never).is_file(OTHER), "the old process answers still"
    assert loads.seen(started(DAY + 60.5), reads(bare)) == Loaded(None, LoadedBy.START)


def test_metrics_that_cannot_be_read_show_nothing() -> None:
    found = Loads().seen(ServerProbe("cp1", True, problem="its metrics cannot be read: HTTP 403"), never)
    assert found.by is None
    assert found.doubt == "its metrics cannot be read: HTTP 403"
    assert "read /metrics" in found.mend


# -- the order of things seen


def started(at: float) -> ServerProbe:
    return replace(PROBE, start_time=at, begun=500.0 + at - DAY)


def with_its_clock_set(probe: ServerProbe, by: float) -> ServerProbe:
    """The same process: when it started, by its own clock, is counted back from now."""
    return replace(probe, start_time=probe.start_time + by)


def test_while_it_neither_starts_nor_reloads_it_stays_with_what_it_had_whatever_becomes_of_the_file() -> None:
    loads = Loads()
    assert loads.seen(PROBE, reads(DISK)).is_file(FILE)
    loads.wrote("cp1", FILE, reads(changed(DAY + 60, OTHER)))
    assert loads.seen(PROBE, never) == Loaded(FILE, LoadedBy.START)


def test_a_start_right_after_our_write_counts_where_the_old_process_was_seen_in_between() -> None:
    loads, ours = Loads(), changed(DAY + 60, OTHER)
    loads.seen(PROBE, reads(DISK))
    loads.wrote("cp1", FILE, reads(ours))
    assert loads.watch(PROBE, ours)
    assert loads.seen(started(DAY + 60.5), reads(ours)) == Loaded(OTHER, LoadedBy.START)


def test_a_manifest_that_was_changed_to_restart_it_does_not_matter_but_one_that_takes_the_flag_away_does() -> None:
    loads, touched = Loads(), replace(DISK, manifest_changed=DAY + 60)
    loads.watch(PROBE, DISK)
    assert loads.seen(started(DAY + 59), reads(touched)) == Loaded(FILE, LoadedBy.START)
    loads.watch(started(DAY + 59), DISK)
    other = replace(touched, flag="/etc/other.yaml", manifest_changed=DAY + 70)
    assert loads.seen(started(DAY + 64), reads(other)).by is None


def test_without_that_look_in_between_the_clocks_decide() -> None:
    loads, ours = Loads(), changed(DAY + 60, OTHER)
    loads.seen(PROBE, reads(DISK))
    loads.wrote("cp1", FILE, reads(ours))
    assert loads.seen(started(DAY + 60.5), reads(ours)).by is None
    assert not Loads().watch(ServerProbe("cp1", False, problem="TCP: connection refused"), ours)


def test_a_file_that_was_changed_again_after_the_look_in_between_is_not_taken_for_loaded() -> None:
    loads, ours = Loads(), changed(DAY + 60, OTHER)
    loads.watch(PROBE, ours)
    assert loads.seen(started(DAY + 61), reads(changed(DAY + 60.9, OTHER))).by is None
    assert loads.seen(started(DAY + 61), reads(changed(DAY + 60.9))).by is None


def test_the_first_reload_after_our_write_is_of_our_file_however_soon_it_comes() -> None:
    loads, ours = Loads(), changed(DAY + 60, OTHER)
    loads.seen(PROBE, reads(DISK))
    loads.wrote("cp1", FILE, reads(ours))
    soon = replace(PROBE, reloads=1, reloaded_at=DAY + 60.2)
    assert loads.seen(soon, reads(ours)) == Loaded(OTHER, LoadedBy.RELOAD)
    loads.wrote("cp1", OTHER, reads(changed(DAY + 70)))
    again = replace(PROBE, reloads=2, reloaded_at=DAY + 70.1)
    assert loads.seen(again, reads(changed(DAY + 70))) == Loaded(FILE, LoadedBy.RELOAD)


def test_a_reload_after_our_write_may_be_of_the_file_before_where_that_was_not_loaded_yet() -> None:
    loads, ours = Loads(), changed(DAY + 60, OTHER)
    loads.seen(PROBE, reads(DISK))
    loads.wrote("cp1", OTHER, reads(ours))
    assert loads.seen(replace(PROBE, reloads=1, reloaded_at=DAY + 60.2), reads(ours)).by is None


def test_a_reload_of_a_file_that_somebody_wrote_over_ours_is_not_taken_for_ours() -> None:
    loads, ours = Loads(), changed(DAY + 60, OTHER)
    loads.seen(PROBE, reads(DISK))
    loads.wrote("cp1", FILE, reads(ours))
    soon = replace(PROBE, reloads=1, reloaded_at=DAY + 60.2)
    assert loads.seen(soon, reads(changed(DAY + 60.1, OTHER))).by is None


def test_a_restart_before_it_reloaded_our_file_is_judged_as_a_start() -> None:
    loads, ours = Loads(), changed(DAY + 60, OTHER)
    loads.seen(PROBE, reads(DISK))
    loads.wrote("cp1", FILE, reads(ours))
    between = replace(started(DAY + 59.5), reloads=1, reloaded_at=DAY + 60.2)
    assert loads.seen(between, reads(ours)).by is None, "it may have read the old file when it started"


@pytest.mark.parametrize("by", [-3600.0, -1.0, 1.0, 3600.0])
def test_a_process_whose_clock_is_set_is_not_taken_for_one_that_has_started_since(by: float) -> None:
    loads, ours = Loads(), changed(DAY + 60, OTHER)
    loads.seen(PROBE, reads(DISK))
    loads.wrote("cp1", FILE, reads(ours))
    loads.seen(PROBE, never)
    for _ in range(2):
        found = loads.seen(with_its_clock_set(PROBE, by), never)
        assert (found.by, found.mend) == (None, "restart its kube-apiserver")
        assert found.doubt.startswith("its clock was set")
    assert loads.seen(PROBE, never).is_file(FILE), "set back, it is the one that it was"
    assert loads.seen(started(DAY + 90), reads(ours)) == Loaded(OTHER, LoadedBy.START)


def test_nor_is_one_of_which_nothing_else_is_known() -> None:
    loads, ours = Loads(), changed(DAY + 60, OTHER)
    loads.watch(PROBE, ours)
    assert loads.seen(with_its_clock_set(PROBE, 3600.0), never).by is None


def test_without_the_time_in_its_answers_another_start_may_be_another_clock() -> None:
    loads, ours = Loads(), changed(DAY + 60, OTHER)
    loads.watch(replace(PROBE, begun=None), ours)
    assert loads.seen(replace(started(DAY + 61), begun=None), reads(ours)).by is None


@pytest.mark.parametrize("known", [True, False], ids=["known before", "never seen before"])
@pytest.mark.parametrize("answers", [0, 1, 2, 5])
def test_however_often_the_old_process_answers_after_the_look_the_start_of_the_next_one_counts(
    known: bool, answers: int
) -> None:
    loads, ours = Loads(), changed(DAY + 60, OTHER)
    if known:
        loads.seen(PROBE, reads(DISK))
        loads.wrote("cp1", FILE, reads(ours))
    loads.watch(PROBE, ours)
    for _ in range(answers):
        assert not loads.seen(PROBE, reads(ours)).is_file(OTHER)
        assert not loads.seen(ServerProbe("cp1", False, problem="TCP: connection refused"), never).is_file(OTHER)
    assert loads.seen(started(DAY + 60.5), reads(ours)) == Loaded(OTHER, LoadedBy.START)


def test_what_is_not_known_is_looked_at_again_each_time() -> None:
    loads = Loads()
    assert loads.seen(replace(PROBE, ahead=60.0), reads(DISK)).by is None
    assert loads.seen(PROBE, reads(DISK)).is_file(FILE)


def test_of_a_server_that_was_never_seen_our_write_tells_nothing() -> None:
    loads, ours = Loads(), changed(DAY + 60, OTHER)
    loads.wrote("cp1", FILE, never)
    assert loads.seen(replace(PROBE, reloads=1, reloaded_at=DAY + 60.2), reads(ours)).by is None


# -- what a journal knows


def record(**fields: object) -> dict[str, object]:
    proof = {"kind": "proof", "of": "server", "server": "cp1", "startTime": DAY, "reloads": 2}
    return {**proof, "loaded": FILE, "loadedBy": "reload", **fields}


def test_a_process_that_a_journal_has_a_proof_of_has_what_it_had_then() -> None:
    loads = Loads(known_of([record(loaded=OTHER, reloads=1), record()]))
    assert loads.seen(replace(PROBE, reloads=2), never) == Loaded(FILE, LoadedBy.RELOAD)


@pytest.mark.parametrize("other", [{"reloads": 3}, {"reloads": 2, "start_time": DAY + 1}])
def test_another_process_or_one_that_has_reloaded_since_is_not_the_one_of_the_journal(other: dict[str, float]) -> None:
    loads = Loads(known_of([record()]))
    now = replace(PROBE, **other)  # type: ignore[arg-type]  # names and values of one table
    assert loads.seen(now, reads(changed(DAY + 60))).by is None


@pytest.mark.parametrize(
    "other",
    [
        {"loadedBy": "hash"},
        {"loadedBy": None},
        {"of": "readable"},
        {"kind": "intent"},
        {"startTime": "soon"},
        {"reloads": None},
        {"server": None},
    ],
)
def test_any_other_record_says_nothing_of_a_process(other: dict[str, object]) -> None:
    assert known_of([record(**other)]) == {}


def test_a_proof_that_a_server_had_no_configuration_is_known_as_that() -> None:
    (found,) = known_of([record(loaded=None, loadedBy="start")]).values()
    assert found == (process_of(replace(PROBE, reloads=2)), Loaded(None, LoadedBy.START))


@pytest.mark.parametrize(
    ("version", "expected"),
    [("v1.34.0", True), ("v1.37.1+k3s1", True), ("v2.0.0", True), ("v1.33.13", False), ("v1.4.9", False), ("", False)],
)
def test_versions_are_compared_as_numbers(version: str, expected: bool) -> None:
    assert reports(replace(PROBE, version=version), REPORTS_HASH) is expected
