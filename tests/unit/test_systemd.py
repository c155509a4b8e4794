"""The systemd units under examples: systemd takes them, keyctl takes their commands, and the page tells of them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml

from keyctl.cli import main, scheduled
from keyctl.cli.window import window_of
from keyctl.cluster_file.read import parse
from keyctl.errors import ExitCode
from keyctl.rotation.window import DAYS
from tests.support.debian import debian_packages, do_without
from tests.support.hints import wrong_commands

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "examples" / "systemd"
SERVICE, TIMER = UNITS / "keyctl-rotate.service", UNITS / "keyctl-rotate.timer"
PAGE = ROOT / "docs" / "scheduled-rotation.md"
# The program, and what it links to that a machine without systemd may lack.
PACKAGES = ("systemd", "libsystemd-shared", "libseccomp2", "libkmod2", "libapparmor1", "libip4tc2")


def settings(unit: Path) -> dict[str, list[str]]:
    """Section.Name → what it is set to, in order. A line that is none of a unit file fails."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in unit.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        if heading := re.fullmatch(r"\[(\w+)\]", line):
            section = heading[1]
            continue
        name, equals, value = line.partition("=")
        assert section, line
        assert equals, line
        assert value, line
        found.setdefault(f"{section}.{name}", []).append(value)
    return found


def commands(unit: Path) -> list[list[str]]:
    """The command lines of a unit, as words."""
    starts = [value for name, values in settings(unit).items() if ".Exec" in name for value in values]
    return [value.split() for value in starts]


def verify(folder: Path, texts: dict[str, str]) -> tuple[int, str]:
    """What systemd itself says against unit files: its exit status, and its words."""
    for name, text in texts.items():
        (folder / name).write_text(text.replace("/opt/kube-keyctl/bin/kube-keyctl", shutil.which("true") or ""))
    program, environment = systemd_analyze()
    command = [program, "verify", "--man=no", *(str(folder / name) for name in texts)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    return run.returncode, run.stdout + run.stderr


def systemd_analyze() -> tuple[str, dict[str, str]]:
    """The program, the system's or Debian's unpacked into the cache, and the environment that it needs."""
    system = shutil.which("systemd-analyze")
    if system is not None:
        return system, dict(os.environ)
    unpacked = debian_packages("systemd", PACKAGES)
    if unpacked is None:
        do_without("no systemd-analyze, and no apt-get to fetch Debian's package with (install systemd)")
    libraries = sorted({str(found.parent) for found in unpacked.rglob("*.so*")})
    # The units that every service comes after, where the machine has none.
    units = (unpacked / "lib" / "systemd" / "system", unpacked / "usr" / "lib" / "systemd" / "system")
    paths = {"LD_LIBRARY_PATH": ":".join(libraries), "SYSTEMD_UNIT_PATH": ":".join(map(str, units)) + ":"}
    return str(unpacked / "usr" / "bin" / "systemd-analyze"), {**os.environ, **paths}


def test_systemd_has_nothing_to_say_against_the_units(tmp_path: Path) -> None:
    assert verify(tmp_path, {unit.name: unit.read_text() for unit in (SERVICE, TIMER)}) == (0, "")


def test_systemd_would_say_something_against_a_wrong_one(tmp_path: Path) -> None:
    wrong = SERVICE.read_text().replace("ProtectSystem=strict", "ProtectSystem=strictly")
    assert "strictly" in verify(tmp_path, {SERVICE.name: wrong})[1]


@pytest.mark.parametrize("unit", sorted(UNITS.iterdir()), ids=lambda path: path.name)
def test_every_command_line_is_one_that_keyctl_takes(unit: Path) -> None:
    assert [problem for words in commands(unit) for problem in wrong_commands(" ".join(words))] == []


def test_the_service_runs_what_is_for_timers_and_needs_nobody_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    ((program, *words),) = commands(SERVICE)
    assert Path(program).name == "kube-keyctl"
    given = []
    monkeypatch.setattr(
        scheduled, "rotate_if_due", lambda cluster, change, wish, **more: given.append((cluster, change))
    )
    assert main.run(words) == ExitCode.OK
    ((cluster, change),) = given
    assert change.yes
    assert cluster == Path("/etc/keyctl/keyctl.yaml")


def test_a_stop_of_the_service_lets_the_act_under_way_end_and_no_time_limit_breaks_in() -> None:
    service = settings(SERVICE)
    assert service["Service.Type"] == ["oneshot"]
    assert service["Service.KillMode"] == ["mixed"], "a signal to every process would kill a restart that was begun"
    assert service["Service.TimeoutStartSec"] == ["infinity"]
    assert "Service.SuccessExitStatus" not in service, "a stop part-way is for a person"
    assert "Service.Restart" not in service, "what stopped is not begun again by itself"


def test_the_service_may_write_where_it_must_and_nowhere_else() -> None:
    service = settings(SERVICE)
    assert service["Service.ProtectSystem"] == ["strict"]
    writable = " ".join(service["Service.ReadWritePaths"]).split()
    assert set(writable) == {
        "%h/.local/state/keyctl",
        "/etc/keyctl/keys",
        "/var/backups/etcd",
        "/etc/kubernetes/enc",
        "/etc/kubernetes/manifests",
    }
    assert service["Service.Environment"] == ["XDG_STATE_HOME=%h/.local/state"]


def test_the_timer_asks_within_the_window_that_the_page_and_the_example_show() -> None:
    (calendar,) = settings(TIMER)["Timer.OnCalendar"]
    match = re.fullmatch(r"(\S+) \*-\*-\* (\S+) (\S+)", calendar)
    assert match is not None
    days, clock, zone = match.groups()
    (late,) = settings(TIMER)["Timer.RandomizedDelaySec"]
    delay = timedelta(minutes=int(late.removesuffix("min")))
    example = (ROOT / "examples" / "keyctl.yaml").read_text()
    (written,) = re.findall(r"#window: (\{.*\})", example)
    assert f"window: {written}" in PAGE.read_text()
    policy = {"window": yaml.safe_load(written)}
    document = {"apiVersion": "keyctl/v1", "kind": "Cluster", "name": "x", "etcd": {}, "policy": policy}
    settings_of = parse(yaml.safe_dump(document).encode(), name="x", directory=Path("/x")).policy.window
    assert settings_of is not None
    window = window_of(settings_of)
    assert zone == settings_of.timezone
    hour, minute, _ = map(int, clock.split(":"))
    for day in days.split(","):
        at = datetime(2026, 11, 23 + DAYS.index(day), hour, minute, tzinfo=ZoneInfo(zone))
        for moment in (at, at + delay):
            assert window.open_until(moment) is not None


def test_the_page_tells_of_both_units_and_of_every_command_it_names_the_right_flags() -> None:
    text = PAGE.read_text()
    assert {unit.name for unit in UNITS.iterdir()} == {SERVICE.name, TIMER.name}
    assert all(unit.name in text for unit in UNITS.iterdir())
    named = re.findall(r"(?:`|^ *\$ )(?:sudo )?((?:kube-)?keyctl [^`\n]+)", text, re.MULTILINE)
    assert len(named) >= 7
    assert [problem for command in named for problem in wrong_commands(command)] == []
