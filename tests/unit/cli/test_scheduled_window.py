"""`keyctl rotate --if-due` and the maintenance window, on a simulated cluster."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from keyctl.cli import main
from keyctl.cli.window import window_of
from keyctl.cluster_file.settings import WindowSettings
from keyctl.errors import ExitCode, UnusableInputError
from keyctl.rotation.journal import Journal
from keyctl.rotation.plan import State
from tests.support.hints import wrong_hints
from tests.support.scheduled_site import DAY, OPEN, SHUT, Site, age, if_due, site_of
from tests.support.simulator import SimCluster
from tests.unit.rotation.scenes import SCENES, assert_done, skip_slow_parts


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_slow_parts(monkeypatch)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A cluster whose key was first seen at the beginning of time."""
    return site_of(SimCluster(tmp_path), monkeypatch)


def test_outside_of_the_window_a_due_rotation_waits_and_says_until_when(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.window = SHUT
    age(site, 2)
    assert if_due("--yes") == ExitCode.OK
    assert capsys.readouterr().out == (
        "due: aescbc/key1 is at least 2 d old (first seen 2026-11-21), 0 min past policy.keyMaxAge; outside the "
        "maintenance window (Sat, Sun 02:00-05:00 Europe/Berlin), which opens Sat 2026-11-28 02:00 Europe/Berlin\n"
    )
    assert site.cluster.journal().records() == ()


def test_a_program_is_told_when_the_window_opens(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.window = SHUT
    age(site, 2)
    assert if_due("--yes", "-o", "json") == ExitCode.OK
    event = json.loads(capsys.readouterr().out)
    assert (event["event"], event["opens"]) == ("outside-window", "2026-11-28T01:00:00+00:00")


def test_not_due_is_not_due_within_the_window_and_outside(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    for window in (OPEN, SHUT):
        site.window = window
        assert if_due("--yes") == ExitCode.OK
        assert capsys.readouterr().out.startswith("not due: ")


def test_within_the_window_it_rotates(site: Site) -> None:
    site.window = OPEN
    age(site, 2)
    assert if_due("--yes") == ExitCode.OK
    assert_done(site.cluster, SCENES[2])


def test_the_window_can_be_ignored_and_then_its_end_stops_nothing(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.window = SHUT
    age(site, 2)
    assert if_due("--yes", "--ignore-window") == ExitCode.OK
    assert_done(site.cluster, SCENES[2])
    assert "warning: outside the maintenance window (Sat, Sun 02:00-05:00 Europe/Berlin)" in capsys.readouterr().err


def test_a_window_that_closes_in_the_middle_stops_it_and_the_next_ones_go_on_to_the_end(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.window = replace(OPEN, closes=10 * 60 + 1)  # a minute a day
    age(site, 2)
    assert if_due("--yes") == ExitCode.STOPPED
    told = capsys.readouterr()
    assert "the maintenance window closed at Mon 2026-11-23 10:01 UTC" in told.err
    assert "it opens again Tue 2026-11-24 10:00 UTC; then this goes on by: keyctl rotate --if-due" in told.err
    assert "every server reads every value: this state is safe for as long as you like" in told.err
    assert wrong_hints([told.err]) == []
    assert all(server.ready for server in site.cluster.servers)

    assert if_due("--yes") == ExitCode.OK, "nobody has to act"
    told = capsys.readouterr()
    assert "has rested since its maintenance window closed; outside the maintenance window" in told.out
    assert site.cluster.journal().unfinished()

    site.window = replace(OPEN, closes=11 * 60)
    site.cluster.clock.advance(DAY)
    assert if_due("--yes") == ExitCode.OK
    told = capsys.readouterr()
    assert "it goes on now" in told.err
    assert told.out.startswith("retired: ")
    assert_done(site.cluster, SCENES[2])


def test_a_resting_rotation_is_told_and_left_by_a_dry_run(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.window = replace(OPEN, closes=10 * 60 + 1)
    age(site, 2)
    assert if_due("--yes") == ExitCode.STOPPED
    records = site.cluster.journal().records()
    assert if_due("--dry-run", "--ignore-window") == ExitCode.OK
    assert "under way: rotation " in capsys.readouterr().err
    assert site.cluster.journal().records() == records


def test_what_was_interrupted_after_it_had_rested_is_for_a_person(site: Site) -> None:
    site.window = replace(OPEN, closes=10 * 60 + 1)
    age(site, 2)
    assert if_due("--yes") == ExitCode.STOPPED
    with pytest.raises(Exception, match="paused"):
        site.cluster.session(pause_after=State.ADDING).resume()
    site.cluster.clock.advance(DAY)
    assert if_due("--yes") == ExitCode.STOPPED
    assert Journal(site.parts().state_directory).unfinished()


@pytest.mark.parametrize("window", [None, OPEN, SHUT], ids=["none", "open", "shut"])
def test_by_hand_the_window_is_not_waited_for_but_said(
    window: WindowSettings | None, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.window = window
    assert main.run(["rotate", "--yes"]) == ExitCode.OK
    told = capsys.readouterr()
    assert ("warning: outside the maintenance window" in told.err) is (window is SHUT)
    assert told.out.startswith("retired: ")


def test_quiet_keeps_the_warning_to_itself(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.window = SHUT
    assert main.run(["rotate", "--dry-run", "-q"]) == ExitCode.OK
    assert "warning" not in capsys.readouterr().err


def test_a_zone_that_nobody_knows_is_an_error_of_the_cluster_file() -> None:
    with pytest.raises(UnusableInputError, match="this machine knows no time zone Mars/Olympus"):
        window_of(replace(OPEN, timezone="Mars/Olympus"))
    with pytest.raises(UnusableInputError):
        window_of(replace(OPEN, timezone="Europe"))


def test_utc_needs_no_data_of_time_zones(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise KeyError(name)

    monkeypatch.setattr("keyctl.cli.window.ZoneInfo", missing)
    assert str(window_of(OPEN)) == "every day 10:00-12:00 UTC"
