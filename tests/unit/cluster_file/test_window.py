"""`policy.window` of the cluster file: what it takes, and what it refuses with the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyctl.cluster_file.read import parse
from keyctl.cluster_file.settings import WindowSettings
from keyctl.cluster_file.window import WEEKDAYS
from keyctl.errors import UnusableInputError
from keyctl.rotation.window import DAYS

_HEAD = "apiVersion: keyctl/v1\nkind: Cluster\nname: prod\netcd: {}\npolicy:\n"


def read(policy: str) -> WindowSettings | None:
    return parse((_HEAD + f"  {policy}\n").encode(), name="keyctl.yaml", directory=Path("/c")).policy.window


def test_without_one_any_time_will_do() -> None:
    assert read("settle: 60s") is None


def test_days_times_and_zone_are_read_as_written() -> None:
    found = read('window: {days: [Sun, Sat], from: "02:00", to: "05:30", timezone: Europe/Berlin}')
    assert found == WindowSettings(("Sat", "Sun"), 120, 330, "Europe/Berlin")


def test_days_left_out_are_all_of_them() -> None:
    found = read('window: {from: "22:00", to: "04:00", timezone: UTC}')
    assert found == WindowSettings(WEEKDAYS, 22 * 60, 4 * 60, "UTC")
    assert WEEKDAYS == DAYS, "the names are those that the window itself goes by"


def test_the_end_of_a_day_can_be_written() -> None:
    assert read('window: {days: [Sat], from: "00:00", to: "24:00", timezone: UTC}') == WindowSettings(
        ("Sat",), 0, 1440, "UTC"
    )


@pytest.mark.parametrize(
    ("window", "message"),
    [
        ('{to: "05:00", timezone: UTC}', "policy.window has no from"),
        ('{from: "02:00", timezone: UTC}', "policy.window has no to"),
        ('{from: "02:00", to: "05:00"}', "policy.window has no timezone"),
        ('{from: "2:00", to: "05:00", timezone: UTC}', "from in policy.window is no time of day"),
        ('{from: "24:00", to: "05:00", timezone: UTC}', "from in policy.window is no time of day"),
        ('{from: "02:00", to: "05:60", timezone: UTC}', "to in policy.window is no time of day"),
        ('{from: "02:00", to: "5 pm", timezone: UTC}', "to in policy.window is no time of day"),
        ('{from: "02:00", to: "02:00", timezone: UTC}', "are the same time"),
        ('{days: [Sat, Sunday], from: "02:00", to: "05:00", timezone: UTC}', "a day in policy.window is unknown"),
        ('{days: [sat], from: "02:00", to: "05:00", timezone: UTC}', "a day in policy.window is unknown"),
        ('{days: [Sat-Sun], from: "02:00", to: "05:00", timezone: UTC}', "a day in policy.window is unknown"),
        ('{days: [Sat, Sat], from: "02:00", to: "05:00", timezone: UTC}', "a day in policy.window stands twice"),
        ('{days: Sat, from: "02:00", to: "05:00", timezone: UTC}', "days in policy.window is not a list"),
        ('{from: "02:00", to: "05:00", timezone: ../zone}', "timezone in policy.window is no name of a zone"),
        ('{from: "02:00", to: "05:00", timezone: /etc/localtime}', "timezone in policy.window is no name of a zone"),
        ('{from: "02:00", to: "05:00", timezone: "+02:00"}', "timezone in policy.window is no name of a zone"),
        ('{from: "02:00", until: "05:00", timezone: UTC}', 'unknown field "until" in policy.window'),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused_with_its_line(window: str, message: str) -> None:
    with pytest.raises(UnusableInputError) as caught:
        read(f"window: {window}")
    assert message in str(caught.value)
    assert str(caught.value).startswith("keyctl.yaml:6:")
    assert caught.value.hints
