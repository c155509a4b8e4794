"""The tutorial on a lab of its own, as a new user types it: every command, its exit code, and what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyctl.lab import build
from keyctl.lab.versions import SERVERS
from tests.support.page_runs import Terminal, follow
from tests.support.page_sites import blocks_of, pages_of, reader_environment

pytestmark = pytest.mark.live

SITE = "nothing running"


@pytest.mark.parametrize("page", pages_of(SITE))
def test_what_the_page_shows_is_what_is_said(page: str, tmp_path: Path) -> None:
    programs = build.binaries((*SERVERS, "kubectl"), progress=print)
    folder, home = tmp_path / "reader", tmp_path / "home"
    folder.mkdir()
    environment = reader_environment(home) | found_by_the_lab(tmp_path / "programs", programs)
    terminal = Terminal(folder, environment)
    try:
        assert follow(blocks_of(page, SITE), terminal, {"/home/you/": f"{home}/"}) > 0
    finally:
        # Where it stopped half-way the lab is still up.
        terminal.run("keyctl lab down")
        terminal.close()


def found_by_the_lab(folder: Path, programs: dict[str, Path]) -> dict[str, str]:
    """Variables with which the lab of a user with an empty home takes these programs and builds none."""
    folder.mkdir()
    for name, path in programs.items():
        (folder / name).symlink_to(path)
    return {"KEYCTL_LAB_BIN": str(folder)}
